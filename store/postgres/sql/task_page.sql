select run, task_no, map_index, state::text, try_number,
       max_tries, epoch, worker, losses, scheduled_at,
       queued_at, started_at, ended_at, not_before, reason,
       message, exit_code, followed, map_item, clears
from task_instance
where run = $1
  and ($2::text[] is null or state = any ($2::text[]::task_state[]))
order by task_no, map_index
limit $3 offset $4
