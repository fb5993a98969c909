insert into backfill
    (backfill, dag, from_date, to_date, is_backwards,
     reprocess, max_active_runs, conf, is_paused, position,
     created_at, updated_at, completed_at, on_latest_version)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
on conflict (backfill) do update set
    is_paused = excluded.is_paused,
    position = excluded.position,
    updated_at = excluded.updated_at,
    completed_at = excluded.completed_at
