select count(*)
from dag_run
where (?1 is null or dag_run.state in (select value from json_each(?1)))
  and (?2 is null or dag_run.run_type = ?2)
  and (?3 is null or dag_run.run < ?3)
