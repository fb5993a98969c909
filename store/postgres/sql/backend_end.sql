-- A number is given again one day, a number and an instant are not.
select pg_terminate_backend(pid, 5000) from pg_stat_activity where pid = $1 and backend_start::text = $2
