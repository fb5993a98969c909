-- What people note on a task instance. A table of its own: the hot rows stay narrow.
create table task_note (
    run bigint not null,
    task_no integer not null,
    map_index integer not null,
    note text not null,
    primary key (run, task_no, map_index)
);
