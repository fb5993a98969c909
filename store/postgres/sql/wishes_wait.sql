-- Is there something to take, or to forget?
select exists (
    select from wish
    where taken_by is null and asked_at > clock_timestamp() - make_interval(secs => $1)
       or asked_at < clock_timestamp() - make_interval(secs => $2)
)
