select run, dag, run_id, run_type::text, state::text,
       version, cause, logical_date, data_interval_start, data_interval_end,
       run_after, queued_at, started_at, ended_at, conf,
       triggered_by, note, reason, retries_used
from dag_run
where dag = $1 and run_id = $2
