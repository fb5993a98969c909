-- Logical dates are unique in a DAG, so there is one newest run.
select run, dag, run_id, run_type, state,
       version, cause, logical_date, data_interval_start, data_interval_end,
       run_after, queued_at, started_at, ended_at, conf,
       triggered_by, note, reason, retries_used
from dag_run
where dag = ?1 and logical_date is not null
  and logical_date between ?2 and ?3
  and (?4 or run_type <> 'manual')
order by logical_date desc
limit 1
