delete from worker where worker = $1
