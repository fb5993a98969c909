select version, dag, number, hash, file, source, created_at
from dag_version
where version = $1
