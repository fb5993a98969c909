select run, task_no, map_index, key, value
from task_value
where run = $1
order by task_no, map_index, key
