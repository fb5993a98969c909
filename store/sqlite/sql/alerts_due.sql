select key, at, body, n_tries, error from alert
where done_at is null and due_at <= ?1
order by due_at, key limit ?2
