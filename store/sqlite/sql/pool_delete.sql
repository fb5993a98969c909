delete from pool where name = ?1
