select topic, incarnation, partition, next_offset
from task_read
where dag = (select dag from dag_run where run = $1) and task_no = $2 and map_index = $3
order by topic, partition, incarnation
