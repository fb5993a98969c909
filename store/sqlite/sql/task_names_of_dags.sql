select task_name.dag, task_name.task_no, task_name.task_id
from json_each(?1) as wanted
join task_name on task_name.dag = wanted.value
