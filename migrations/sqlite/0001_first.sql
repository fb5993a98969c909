-- The first schema. Instants are microseconds since the Unix epoch, in 64 bits.
-- States and the like stand by their names; a test holds the lists against the program's own.

create table term (
    shard integer primary key,
    term integer not null,
    holder text not null,
    taken_at integer not null
) strict;

-- Numbers that are never used again, even after their rows are gone.
create table counter (
    name text primary key,
    value integer not null
) strict, without rowid;

create table dag (
    dag integer primary key,
    dag_id text not null unique,
    file text not null,
    is_paused integer not null check (is_paused in (0, 1)),
    is_stale integer not null check (is_stale in (0, 1)),
    version integer not null references dag_version (version) deferrable initially deferred,
    schedule_high integer,
    next_run integer,
    updated_at integer not null
) strict;

create table dag_version (
    version integer primary key autoincrement,
    dag integer not null references dag (dag),
    number integer not null,
    hash text not null,
    file text not null,
    source text not null,
    created_at integer not null,
    unique (dag, hash),
    unique (dag, number)
) strict;

create table blob (
    sha256 blob primary key check (length(sha256) = 32),
    bytes blob not null
) strict;

create table version_file (
    version integer not null references dag_version (version),
    path text not null,
    mode integer not null,
    sha256 blob not null references blob (sha256),
    primary key (version, path)
) strict, without rowid;

-- The number of a task name stays, over all versions of its DAG.
create table task_name (
    dag integer not null references dag (dag),
    task_no integer not null,
    task_id text not null,
    primary key (dag, task_no),
    unique (dag, task_id)
) strict, without rowid;

create table dag_run (
    run integer primary key,
    dag integer not null references dag (dag),
    run_id text not null,
    run_type text not null check (run_type in ('manual', 'scheduled', 'backfill', 'asset_triggered')),
    state text not null check (state in ('queued', 'running', 'success', 'failed')),
    version integer not null references dag_version (version),
    cause text,
    logical_date integer,
    data_interval_start integer,
    data_interval_end integer,
    run_after integer not null,
    queued_at integer not null,
    started_at integer,
    ended_at integer,
    conf text not null,
    triggered_by text,
    note text,
    reason text,
    unique (dag, run_id)
) strict;

create unique index dag_run_logical_date on dag_run (dag, logical_date) where logical_date is not null;
create unique index dag_run_cause on dag_run (dag, cause) where cause is not null;
create index dag_run_newest on dag_run (dag, run desc);
create index dag_run_state on dag_run (dag, state);
create index dag_run_active on dag_run (run) where state in ('queued', 'running');

-- The hot table: its key is its place, and no column that changes has an index.
create table task_instance (
    run integer not null references dag_run (run),
    task_no integer not null,
    map_index integer not null,
    state text not null check (state in (
        'none', 'scheduled', 'queued', 'running', 'success', 'failed', 'upstream_failed', 'skipped',
        'up_for_retry', 'up_for_reschedule', 'deferred', 'restarting', 'removed'
    )),
    try_number integer not null,
    max_tries integer not null,
    epoch integer not null,
    worker integer,
    losses integer not null,
    scheduled_at integer,
    queued_at integer,
    started_at integer,
    ended_at integer,
    not_before integer,
    reason text,
    message text,
    exit_code integer,
    primary key (run, task_no, map_index)
) strict, without rowid;

-- Tries that others have followed.
create table task_try (
    run integer not null references dag_run (run),
    task_no integer not null,
    map_index integer not null,
    state text not null check (state in (
        'none', 'scheduled', 'queued', 'running', 'success', 'failed', 'upstream_failed', 'skipped',
        'up_for_retry', 'up_for_reschedule', 'deferred', 'restarting', 'removed'
    )),
    try_number integer not null,
    max_tries integer not null,
    epoch integer not null,
    worker integer,
    losses integer not null,
    scheduled_at integer,
    queued_at integer,
    started_at integer,
    ended_at integer,
    not_before integer,
    reason text,
    message text,
    exit_code integer,
    primary key (run, task_no, map_index, try_number, epoch)
) strict, without rowid;

create table task_value (
    run integer not null references dag_run (run),
    task_no integer not null,
    map_index integer not null,
    key text not null,
    value text not null,
    primary key (run, task_no, map_index, key)
) strict, without rowid;

create table change (
    seq integer primary key,
    at integer not null,
    run integer not null,
    body text not null
) strict;

create table import_error (
    file text primary key,
    errors text not null,
    at integer not null
) strict, without rowid;
