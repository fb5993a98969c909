select key, description, is_marked, value, updated_at from variable where key = any ($1) order by key
