select count(*)
from dag_run
where dag_run.dag = $1
  and ($2::text[] is null or dag_run.state = any ($2::text[]::run_state[]))
  and ($3::text is null or dag_run.run_type = $3::text::run_type)
  and ($4::bigint is null or dag_run.run < $4)
