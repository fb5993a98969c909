select run, task_no, map_index, epoch from dispatch where worker = $1
union
select task_instance.run, task_instance.task_no, task_instance.map_index, task_instance.epoch
from dag_run join task_instance on task_instance.run = dag_run.run
where dag_run.state in ('queued', 'running') and task_instance.worker = $1
