update alert set n_tries = n_tries + 1, error = ?2, due_at = coalesce(?3, due_at), done_at = ?4 where key = ?1
