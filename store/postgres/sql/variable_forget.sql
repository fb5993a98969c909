delete from variable where key = $1
