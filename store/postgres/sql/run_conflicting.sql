-- The same cause first, for that is the same run asked for again.
select run, dag, run_id, run_type::text, state::text,
       version, cause, logical_date, data_interval_start, data_interval_end,
       run_after, queued_at, started_at, ended_at, conf,
       triggered_by, note, reason, retries_used
from dag_run
where dag = $1 and (run_id = $2 or logical_date = $3 or cause = $4)
order by coalesce(cause = $4, false) desc, run_id = $2 desc, run
limit 1
