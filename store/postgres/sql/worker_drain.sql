update worker set is_draining = $2 where worker = $1
