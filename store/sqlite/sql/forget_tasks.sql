delete from task_instance
where (run, task_no, map_index) in (
    select run, task_no, map_index
    from task_instance
    where run in (select value from json_each(?1))
    limit ?2
)
