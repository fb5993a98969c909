select state::text, count(*) from task_instance where run = $1 group by state
