select dag.dag, dag.dag_id, dag.file, dag.is_paused, dag.is_stale, dag.version, dag_version.number,
       dag.schedule_high, dag.next_run, dag.updated_at
from json_each(?1) as wanted
join dag on dag.dag_id = wanted.value
join dag_version on dag_version.version = dag.version
