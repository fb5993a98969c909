select dag_version.dag, dag_version.version
from json_each(?1) as wanted
join dag_version on dag_version.dag = wanted.value ->> 'dag' and dag_version.hash = wanted.value ->> 'hash'
