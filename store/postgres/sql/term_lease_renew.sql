update term_lease set until = clock_timestamp() + make_interval(secs => $3) where shard = $1 and term = $2
