-- What a branch chose, what an instance of a mapped task is about, how often an instance was
-- cleared, and how often a run was tried again by itself. Lists and objects are JSON.
alter table task_instance
    add column followed text,
    add column map_item text,
    add column clears integer not null default 0;

alter table task_try
    add column followed text,
    add column map_item text,
    add column clears integer not null default 0;

alter table dag_run add column retries_used integer not null default 0;
