select seq, at, run, body from change where seq = $1
