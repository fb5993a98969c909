insert into worker (host, pid, slots, queues, log_url, log_token, lease, lease_until)
values ($1, $2, $3, $4, $5, $6, make_interval(secs => $7), clock_timestamp() + make_interval(secs => $7))
returning worker
