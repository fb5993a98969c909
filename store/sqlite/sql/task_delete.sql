delete from task_instance where run = ?1 and task_no = ?2 and map_index = ?3
