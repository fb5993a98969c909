insert into variable (key, description, is_marked, value, updated_at)
values ($1, $2, $3, $4, $5)
on conflict (key) do update set
    description = excluded.description, is_marked = excluded.is_marked,
    value = excluded.value, updated_at = excluded.updated_at
