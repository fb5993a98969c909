select dag_run.run, dag_run.dag, dag_run.run_id, dag_run.run_type::text,
       dag_run.state::text, dag_run.version, dag_run.cause, dag_run.logical_date,
       dag_run.data_interval_start, dag_run.data_interval_end, dag_run.run_after, dag_run.queued_at,
       dag_run.started_at, dag_run.ended_at, dag_run.conf, dag_run.triggered_by,
       dag_run.note, dag_run.reason, dag_run.retries_used,
       dag.dag_id, dag_version.number
from dag_run
join dag on dag.dag = dag_run.dag
join dag_version on dag_version.version = dag_run.version
where ($1::bigint is null or dag_run.dag = $1)
  and ($2::text[] is null or dag_run.state = any ($2::text[]::run_state[]))
  and ($3::text is null or dag_run.run_type = $3::text::run_type)
  and ($4::bigint is null or dag_run.run < $4)
  and ($5::bigint is null or dag_run.logical_date >= $5)
  and ($6::bigint is null or dag_run.logical_date <= $6)
  and ($7::bigint is null or dag_run.run_after >= $7)
  and ($8::bigint is null or dag_run.run_after <= $8)
  and ($9::bigint is null or dag_run.started_at >= $9)
  and ($10::bigint is null or dag_run.started_at <= $10)
  and ($11::bigint is null or dag_run.ended_at >= $11)
  and ($12::bigint is null or dag_run.ended_at <= $12)
order by
case $13::text
    when 'logical_date' then dag_run.logical_date
    when 'run_after' then dag_run.run_after
    when 'start_date' then dag_run.started_at
    when 'end_date' then dag_run.ended_at
    when 'queued_at' then dag_run.queued_at
    when 'id' then dag_run.run
end asc nulls last,
case $14::text
    when 'logical_date' then dag_run.logical_date
    when 'run_after' then dag_run.run_after
    when 'start_date' then dag_run.started_at
    when 'end_date' then dag_run.ended_at
    when 'queued_at' then dag_run.queued_at
    when 'id' then dag_run.run
end desc nulls last,
dag_run.run desc
limit $15 offset $16
