select t.map_index, t.state::text, v.key, v.value
from task_instance t
left join task_value v on v.run = t.run and v.task_no = t.task_no and v.map_index = t.map_index
where t.run = $1 and t.task_no = $2 and t.map_index >= $3 and t.map_index < $4
order by t.map_index, v.key
