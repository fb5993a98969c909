select task_no, task_id from task_name where dag = $1 order by task_no
