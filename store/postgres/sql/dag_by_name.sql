select dag.dag, dag.dag_id, dag.file, dag.is_paused, dag.is_stale, dag.version, dag_version.number,
       dag.schedule_high, dag.next_run, dag.updated_at
from dag join dag_version on dag_version.version = dag.version
where dag.dag_id = $1
