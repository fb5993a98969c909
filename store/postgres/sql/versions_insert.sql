insert into dag_version (version, dag, number, hash, file, source, created_at)
select new.version, new.dag,
       (select coalesce(max(number), 0) + 1 from dag_version where dag_version.dag = new.dag),
       new.hash, new.file, new.source, new.created_at
from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
    as new (version, dag, hash, file, source, created_at)
