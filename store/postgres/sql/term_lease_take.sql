update term_lease set term = $2, until = clock_timestamp() + make_interval(secs => $3) where shard = $1
