select dag, task_no, task_id from task_name order by dag, task_no
