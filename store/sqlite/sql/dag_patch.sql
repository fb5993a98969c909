-- The high mark of a schedule never falls.
update dag set
    is_paused = ?2,
    schedule_high = case when schedule_high > ?3 or ?3 is null then schedule_high else ?3 end,
    next_run = ?4
where dag = ?1
