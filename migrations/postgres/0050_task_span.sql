-- What a task reads of topics: fixed by its first attempt, before anything is read, so that every
-- attempt reads the same. A span without an end is only where waiting began.
create table task_span (
    run bigint not null references dag_run (run) on delete cascade,
    task_no integer not null,
    map_index integer not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    dag bigint not null,
    first_offset bigint not null,
    end_offset bigint,
    primary key (run, task_no, map_index, topic, partition, incarnation)
);

create index task_span_task on task_span (dag, task_no, map_index);

-- How far the successes of runs that are forgotten had read.
create table task_position (
    dag bigint not null references dag (dag),
    task_no integer not null,
    map_index integer not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (dag, task_no, map_index, topic, partition, incarnation)
);

-- How far a task has read: no success, no move. So the position moves with the row of the task.
create view task_read as
select dag, task_no, map_index, topic, incarnation, partition, max(next_offset) as next_offset
from (
    select dag, task_no, map_index, topic, incarnation, partition, next_offset
    from task_position
    union all
    select span.dag, span.task_no, span.map_index, span.topic, span.incarnation, span.partition, span.end_offset
    from task_span as span
    join task_instance as task
        on task.run = span.run and task.task_no = span.task_no and task.map_index = span.map_index
    where task.state = 'success' and span.end_offset is not null
) as every
group by dag, task_no, map_index, topic, incarnation, partition;
