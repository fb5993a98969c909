update dag set is_stale = true where not is_stale and dag = any ($1)
