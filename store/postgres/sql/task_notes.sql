select run, task_no, map_index, note from task_note where run = $1 order by task_no, map_index
