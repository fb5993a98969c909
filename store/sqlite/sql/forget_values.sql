delete from task_value
where (run, task_no, map_index, key) in (
    select run, task_no, map_index, key
    from task_value
    where run in (select value from json_each(?1))
    limit ?2
)
