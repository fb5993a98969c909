select task_no, state::text from task_instance where run = $1 and task_no = any ($2) order by task_no, map_index
