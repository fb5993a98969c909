-- Names that are new get the next numbers, in the order in which the file has them.
insert into task_name (dag, task_no, task_id)
select ?1,
       (select coalesce(max(task_no), 0) from task_name where dag = ?1) + row_number() over (order by fresh.place),
       fresh.task_id
from (
    select value as task_id, min(key) as place
    from json_each(?2)
    where value not in (select task_id from task_name where dag = ?1)
    group by value
) as fresh
