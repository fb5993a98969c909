-- Only this server's clock judges a lease.
select term_lease.until <= clock_timestamp() as is_over, term_lease.is_signed, coalesce(term.holder, '')
from term_lease left join term on term.shard = term_lease.shard
where term_lease.shard = $1
for update of term_lease
