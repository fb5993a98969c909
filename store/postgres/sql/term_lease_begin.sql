insert into term_lease (shard, term, until, is_signed) values ($1, 0, clock_timestamp(), false)
on conflict (shard) do nothing
