select seq, at, run, body from change where seq > $1 order by seq limit $2
