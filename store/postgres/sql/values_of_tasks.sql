select run, task_no, map_index, key, value
from task_value
where run = $1 and task_no = any ($2)
order by task_no, map_index, key
