select version, dag, number, hash, file, source, created_at
from dag_version
where version in (
    select version from dag
    union
    select version from dag_run where state in ('queued', 'running')
)
order by version
