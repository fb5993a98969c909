-- Whoever holds the term renews its lease by $2 seconds each time. Only this server's clock judges it.
select (extract(epoch from until - make_interval(secs => $2)) * 1000000)::bigint
from term_lease
where shard = $1 and until > clock_timestamp()
