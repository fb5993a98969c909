delete from task_try
where ctid = any (array (select ctid from task_try where run = any ($1) limit $2))
