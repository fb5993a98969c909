insert into term_lease (shard, term, until) values ($1, 0, clock_timestamp())
on conflict (shard) do nothing
