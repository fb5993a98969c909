select key, description, is_marked, value, updated_at from variable order by key
