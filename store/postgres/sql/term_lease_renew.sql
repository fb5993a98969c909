update term_lease set until = clock_timestamp() + make_interval(secs => $3), is_signed = $4
where shard = $1 and term = $2
