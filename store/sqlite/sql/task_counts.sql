select state, count(*) from task_instance where run = ?1 group by state order by state
