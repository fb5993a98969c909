delete from task_value
where ctid = any (array (select ctid from task_value where run = any ($1) limit $2))
