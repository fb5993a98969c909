update dag set file = ?2, is_stale = 0, version = ?3, updated_at = ?4 where dag = ?1
