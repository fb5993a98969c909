-- Names that are new get the next numbers of their DAG, in the order in which its file has them.
insert into task_name (dag, task_no, task_id)
select fresh.dag,
       (select coalesce(max(task_no), 0) from task_name where task_name.dag = fresh.dag)
           + row_number() over (partition by fresh.dag order by fresh.place),
       fresh.task_id
from (
    select value ->> 'dag' as dag, value ->> 'task_id' as task_id, key as place
    from json_each(?1)
) as fresh
