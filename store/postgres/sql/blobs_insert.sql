insert into blob (sha256, bytes)
select sha256, bytes from unnest($1::bytea[], $2::bytea[]) as new (sha256, bytes)
on conflict (sha256) do nothing
