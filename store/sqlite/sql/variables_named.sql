select key, description, is_marked, value, updated_at from variable where key in (select value from json_each(?1)) order by key
