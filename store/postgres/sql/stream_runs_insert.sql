insert into dag_run
    (run, dag, run_id, run_type, state,
     version, cause, logical_date, data_interval_start, data_interval_end,
     run_after, queued_at, conf, triggered_by, retries_used)
select new.run, new.dag, new.run_id, new.run_type::run_type, new.state::run_state,
       new.version, new.cause, null, new.data_interval_start, new.data_interval_end,
       new.run_after, new.queued_at, new.conf, new.triggered_by, 0
from unnest(
    $1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[],
    $6::bigint[], $7::text[], $8::bigint[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::text[], $13::text[]
) as new (
    run, dag, run_id, run_type, state,
    version, cause, data_interval_start, data_interval_end,
    run_after, queued_at, conf, triggered_by
)
