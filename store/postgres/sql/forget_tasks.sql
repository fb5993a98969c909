delete from task_instance
where ctid = any (array (select ctid from task_instance where run = any ($1) limit $2))
