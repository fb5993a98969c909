-- The first schema. Instants are microseconds since the Unix epoch, in 64 bits.
-- States and the like are enumerations; a test holds their lists against the program's own.
-- JSON stands as text: `jsonb` would forget the order of keys, and refuses some strings.
-- Names sort by their bytes, whatever the database's own collation is.

create type run_type as enum ('manual', 'scheduled', 'backfill', 'asset_triggered');
create type run_state as enum ('queued', 'running', 'success', 'failed');
create type task_state as enum (
    'none', 'scheduled', 'queued', 'running', 'success', 'failed', 'upstream_failed', 'skipped',
    'up_for_retry', 'up_for_reschedule', 'deferred', 'restarting', 'removed'
);

-- The fence: every write of a scheduler shares this row's lock, and a take-over changes the row.
create table term (
    shard integer primary key,
    term bigint not null,
    holder text not null,
    taken_at bigint not null
) with (fillfactor = 50);

-- Until when the holder of a term is believed to be alive. It is judged by this server's clock,
-- and is a table of its own so that a renewal never waits for a pass.
create table term_lease (
    shard integer primary key,
    term bigint not null,
    until timestamptz not null,
    -- The holder has the advisory lock too: when that is free, the holder is gone.
    is_signed boolean not null
) with (fillfactor = 50);

-- Numbers that are never used again, even after their rows are gone.
create table counter (
    name text primary key,
    value bigint not null
) with (fillfactor = 50);

create table dag (
    dag bigint primary key,
    dag_id text collate "C" not null unique,
    file text not null,
    is_paused boolean not null,
    is_stale boolean not null,
    version bigint not null,
    schedule_high bigint,
    next_run bigint,
    updated_at bigint not null
) with (fillfactor = 70);

create table dag_version (
    version bigint primary key,
    dag bigint not null references dag (dag),
    number bigint not null,
    hash text not null,
    file text not null,
    source text not null,
    created_at bigint not null,
    unique (dag, hash),
    unique (dag, number)
);

-- A DAG comes before its first version, in one transaction.
alter table dag add foreign key (version) references dag_version (version) deferrable initially deferred;

create table blob (
    sha256 bytea primary key check (length(sha256) = 32),
    bytes bytea not null
);

create table version_file (
    version bigint not null references dag_version (version),
    path text collate "C" not null,
    mode bigint not null,
    sha256 bytea not null references blob (sha256),
    primary key (version, path)
);

-- The number of a task name stays, over all versions of its DAG.
create table task_name (
    dag bigint not null references dag (dag),
    task_no integer not null,
    task_id text collate "C" not null,
    primary key (dag, task_no),
    unique (dag, task_id)
);

create table dag_run (
    run bigint primary key,
    dag bigint not null references dag (dag),
    version bigint not null references dag_version (version),
    run_type run_type not null,
    state run_state not null,
    run_after bigint not null,
    queued_at bigint not null,
    started_at bigint,
    ended_at bigint,
    logical_date bigint,
    data_interval_start bigint,
    data_interval_end bigint,
    run_id text not null,
    conf text not null,
    cause text,
    triggered_by text,
    note text,
    reason text,
    unique (dag, run_id)
) with (fillfactor = 80);

create unique index dag_run_logical_date on dag_run (dag, logical_date) where logical_date is not null;
create unique index dag_run_cause on dag_run (dag, cause) where cause is not null;
create index dag_run_newest on dag_run (dag, run desc);
create index dag_run_state on dag_run (dag, state);
create index dag_run_active on dag_run (run) where state in ('queued', 'running');

-- The hot table: narrow, and no column that changes has an index, so that an update stays on its
-- page and touches no index. The pass itself sees to it that the run is there: a foreign key
-- would lock and write the run's row once for each task.
create table task_instance (
    run bigint not null,
    epoch bigint not null,
    worker bigint,
    scheduled_at bigint,
    queued_at bigint,
    started_at bigint,
    ended_at bigint,
    not_before bigint,
    task_no integer not null,
    map_index integer not null,
    state task_state not null,
    try_number integer not null,
    max_tries integer not null,
    losses integer not null,
    exit_code integer,
    reason text,
    message text,
    primary key (run, task_no, map_index)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- Tries that were superseded; the current one is inline in its instance.
create table task_try (
    run bigint not null,
    epoch bigint not null,
    worker bigint,
    scheduled_at bigint,
    queued_at bigint,
    started_at bigint,
    ended_at bigint,
    not_before bigint,
    task_no integer not null,
    map_index integer not null,
    state task_state not null,
    try_number integer not null,
    max_tries integer not null,
    losses integer not null,
    exit_code integer,
    reason text,
    message text,
    primary key (run, task_no, map_index, try_number, epoch)
);

create table task_value (
    run bigint not null,
    task_no integer not null,
    map_index integer not null,
    key text collate "C" not null,
    value text not null,
    primary key (run, task_no, map_index, key)
);

-- A number is used once: so it also tells whether a pass whose answer was lost has happened.
create table change (
    seq bigint primary key,
    at bigint not null,
    run bigint not null,
    body text not null
);

create table import_error (
    file text collate "C" primary key,
    errors text not null,
    at bigint not null
);

-- Ends a pass that breaks a rule of the tables: all of it is undone.
create function refuse_pass(why text) returns boolean language plpgsql as $$
begin
    raise exception using message = why, errcode = 'TM001';
end
$$;
