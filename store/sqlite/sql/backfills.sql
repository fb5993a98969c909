select backfill, backfill.dag, from_date, to_date, is_backwards,
       reprocess, max_active_runs, conf, backfill.is_paused, position,
       created_at, backfill.updated_at, completed_at, on_latest_version, dag.dag_id
from backfill
join dag on dag.dag = backfill.dag
order by backfill desc
