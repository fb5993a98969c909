select run
from dag_run
where run in (select value from json_each(?1))
  and (exists (select 1 from task_note where task_note.run = dag_run.run)
       or exists (select 1 from task_value where task_value.run = dag_run.run)
       or exists (select 1 from task_try where task_try.run = dag_run.run)
       or exists (select 1 from task_instance where task_instance.run = dag_run.run))
order by run
