select count(*)
from dag_run
where dag_run.dag = ?1
  and (?2 is null or dag_run.state in (select value from json_each(?2)))
  and (?3 is null or dag_run.run_type = ?3)
  and (?4 is null or dag_run.run < ?4)
