select dag_run.run, dag_run.dag, dag_run.run_id, dag_run.run_type::text,
       dag_run.state::text, dag_run.version, dag_run.cause, dag_run.logical_date,
       dag_run.data_interval_start, dag_run.data_interval_end, dag_run.run_after, dag_run.queued_at,
       dag_run.started_at, dag_run.ended_at, dag_run.conf, dag_run.triggered_by,
       dag_run.note, dag_run.reason, dag_run.retries_used,
       dag.dag_id, dag_version.number
from dag_run
join dag on dag.dag = dag_run.dag
join dag_version on dag_version.version = dag_run.version
where dag_run.dag = $1
  and ($2::text[] is null or dag_run.state = any ($2::text[]::run_state[]))
  and ($3::text is null or dag_run.run_type = $3::text::run_type)
  and ($4::bigint is null or dag_run.run < $4)
order by dag_run.run desc
limit $5 offset $6
