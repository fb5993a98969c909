-- The version follows in the same transaction; its reference is checked at the end.
insert into dag (dag, dag_id, file, is_paused, is_stale, version, updated_at)
select new.dag, new.dag_id, new.file, new.is_paused, false, 0, new.updated_at
from unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::bigint[])
    as new (dag, dag_id, file, is_paused, updated_at)
