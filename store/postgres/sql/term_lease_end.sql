update term_lease set until = clock_timestamp() where shard = $1 and term = $2
