-- A server that was itself down within a lease gives its workers the time to come back.
delete from worker
where lease_until < clock_timestamp()
  and pg_postmaster_start_time() + lease < clock_timestamp()
returning worker
