select run, task_no, map_index, state, try_number,
       max_tries, epoch, worker, losses, scheduled_at,
       queued_at, started_at, ended_at, not_before, reason,
       message, exit_code, followed, map_item, clears
from task_instance
where run in (select value from json_each(?1))
order by run, task_no, map_index
