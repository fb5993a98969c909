with told as (
    insert into report (run, task_no, map_index, epoch, worker, outcome)
    select * from unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::text[])
    on conflict do nothing
    returning true
)
select pg_notify('tidemill_arrivals', '') is null as has_rung, (select count(*) from told)
