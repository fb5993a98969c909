select count(*)
from dag_run
where ($1::text[] is null or dag_run.state = any ($1::text[]::run_state[]))
  and ($2::text is null or dag_run.run_type = $2::text::run_type)
  and ($3::bigint is null or dag_run.run < $3)
