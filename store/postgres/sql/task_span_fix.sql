insert into task_span (run, task_no, map_index, topic, incarnation, partition, dag, first_offset, end_offset)
select dag_run.run, $2, $3, span.topic, span.incarnation, span.partition, dag_run.dag, span.first_offset, span.end_offset
from dag_run,
     unnest($4::text[], $5::text[], $6::integer[], $7::bigint[], $8::bigint[])
         as span (topic, incarnation, partition, first_offset, end_offset)
where dag_run.run = $1
on conflict do nothing
