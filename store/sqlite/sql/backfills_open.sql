select backfill, dag, from_date, to_date, is_backwards,
       reprocess, max_active_runs, conf, is_paused, position,
       created_at, updated_at, completed_at, on_latest_version
from backfill
where completed_at is null
order by backfill
