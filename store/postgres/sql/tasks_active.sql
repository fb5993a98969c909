select task_instance.run, task_instance.task_no, task_instance.map_index, task_instance.state::text,
       task_instance.try_number, task_instance.max_tries, task_instance.epoch, task_instance.worker,
       task_instance.losses, task_instance.scheduled_at, task_instance.queued_at, task_instance.started_at,
       task_instance.ended_at, task_instance.not_before, task_instance.reason, task_instance.message,
       task_instance.exit_code, task_instance.followed, task_instance.map_item, task_instance.clears
from dag_run join task_instance on task_instance.run = dag_run.run
where dag_run.state in ('queued', 'running')
order by task_instance.run, task_instance.task_no, task_instance.map_index
