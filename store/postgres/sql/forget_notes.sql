delete from task_note
where ctid = any (array (select ctid from task_note where run = any ($1) limit $2))
