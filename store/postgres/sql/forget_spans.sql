insert into task_position (dag, task_no, map_index, topic, incarnation, partition, next_offset)
select span.dag, span.task_no, span.map_index, span.topic, span.incarnation, span.partition, max(span.end_offset)
from task_span as span
join task_instance as task
    on task.run = span.run and task.task_no = span.task_no and task.map_index = span.map_index
where span.run = any ($1) and task.state = 'success' and span.end_offset is not null
group by span.dag, span.task_no, span.map_index, span.topic, span.incarnation, span.partition
on conflict (dag, task_no, map_index, topic, partition, incarnation)
do update set next_offset = greatest(task_position.next_offset, excluded.next_offset)
