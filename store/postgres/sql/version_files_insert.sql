insert into version_file (version, path, mode, sha256)
select version, path, mode, sha256
from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[]) as new (version, path, mode, sha256)
