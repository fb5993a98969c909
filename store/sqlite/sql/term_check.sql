select 1 from term where shard = 0 and term = ?1
