insert into dag_version (dag, number, hash, file, source, created_at)
select new.dag,
       (select coalesce(max(number), 0) + 1 from dag_version where dag_version.dag = new.dag),
       new.hash, new.file, new.source, new.at
from (
    select key, value ->> 'dag' as dag, value ->> 'hash' as hash, value ->> 'file' as file,
           value ->> 'source' as source, value ->> 'at' as at
    from json_each(?1)
) as new
order by new.key
returning dag, version
