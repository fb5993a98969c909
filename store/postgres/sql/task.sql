select run, task_no, map_index, state::text, try_number,
       max_tries, epoch, worker, losses, scheduled_at,
       queued_at, started_at, ended_at, not_before, reason,
       message, exit_code, followed, map_item, clears
from task_instance
where run = $1 and task_no = $2 and map_index = $3
