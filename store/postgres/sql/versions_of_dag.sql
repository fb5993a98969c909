-- Lists show no texts.
select version, dag, number, hash, file, '' as source, created_at
from dag_version
where dag = $1
order by version desc
