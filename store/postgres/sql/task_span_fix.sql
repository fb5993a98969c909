insert into task_span (run, task_no, map_index, topic, incarnation, partition, dag, first_offset, end_offset)
select run, $2, $3, $4, $5, $6, dag, $7, $8
from dag_run
where run = $1
on conflict do nothing
