insert into alert (key, at, due_at, body) values (?1, ?2, ?2, ?3) on conflict (key) do nothing
