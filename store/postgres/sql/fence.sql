-- Held until the transaction ends, so that no take-over comes between.
select term from term where shard = $1 and term = $2 for share
