update dag set file = new.file, is_stale = false, version = new.version, updated_at = new.updated_at
from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) as new (dag, file, version, updated_at)
where dag.dag = new.dag
