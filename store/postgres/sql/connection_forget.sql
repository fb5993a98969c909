delete from connection where id = $1
