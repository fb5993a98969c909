select dag_version.dag, dag_version.version
from unnest($1::bigint[], $2::text[]) as wanted (dag, hash)
join dag_version on dag_version.dag = wanted.dag and dag_version.hash = wanted.hash
