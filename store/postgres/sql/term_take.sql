insert into term (shard, term, holder, taken_at) values ($1, 1, $2, $3)
on conflict (shard) do update set
    term = term.term + 1, holder = excluded.holder, taken_at = excluded.taken_at
returning term
