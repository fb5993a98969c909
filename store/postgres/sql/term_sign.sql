-- The lock is the session's: it is given back when the session ends, however that happens.
select pg_try_advisory_lock($1, $2)
