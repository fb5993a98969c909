update worker
set seen_at = clock_timestamp(), lease_until = clock_timestamp() + lease
where worker = $1 and lease_until > clock_timestamp()
returning is_draining
