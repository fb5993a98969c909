delete from task_try
where (run, task_no, map_index, try_number, epoch) in (
    select run, task_no, map_index, try_number, epoch
    from task_try
    where run in (select value from json_each(?1))
    limit ?2
)
