select topic, incarnation, partition, first_offset, end_offset
from task_span
where run = ?1 and task_no = ?2 and map_index = ?3
order by topic, partition, incarnation
