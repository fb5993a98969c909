select dag, task_no, task_id from task_name where dag = any ($1) order by dag, task_no
