with forgotten as (
    delete from wish where asked_at < clock_timestamp() - make_interval(secs => $4)
),
waiting as materialized (
    select wish from wish
    where taken_by is null and asked_at > clock_timestamp() - make_interval(secs => $3)
    order by wish
    limit $2
    for update skip locked
),
taken as (
    update wish set taken_by = $1
    from waiting
    where wish.wish = waiting.wish
    returning wish.wish, wish.asked
)
select wish, asked from taken order by wish
