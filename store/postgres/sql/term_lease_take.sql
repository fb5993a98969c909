update term_lease set
    term = $2, until = clock_timestamp() + make_interval(secs => $3), is_signed = $4
where shard = $1
