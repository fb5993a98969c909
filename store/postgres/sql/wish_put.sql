-- More than can be done soon are not let in. Those of processes that are gone do not count for long.
with waiting as (
    select count(*) as n from wish
    where taken_by is null and asked_at > clock_timestamp() - make_interval(secs => $3)
),
put as (
    insert into wish (asked)
    select $1 from waiting where n < $2
    returning wish
)
select wish, pg_notify('tidemill_wishes', '') is null as has_rung from put
