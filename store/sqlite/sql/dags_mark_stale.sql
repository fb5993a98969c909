update dag set is_stale = 1
where is_stale = 0 and dag in (select value from json_each(?1))
