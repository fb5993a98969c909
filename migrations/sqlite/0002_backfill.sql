-- Wishes to make the runs of past dates, and what became of each date.
create table backfill (
    backfill integer primary key,
    dag integer not null references dag (dag),
    from_date integer not null,
    to_date integer not null,
    is_backwards integer not null check (is_backwards in (0, 1)),
    reprocess text not null check (reprocess in ('none', 'failed', 'completed')),
    max_active_runs integer not null,
    conf text not null,
    is_paused integer not null check (is_paused in (0, 1)),
    position integer,
    created_at integer not null,
    updated_at integer not null,
    completed_at integer
) strict;

create index backfill_open on backfill (backfill) where completed_at is null;

create table backfill_date (
    backfill integer not null references backfill (backfill),
    tick integer not null,
    logical_date integer not null,
    run integer references dag_run (run),
    skipped text check (skipped in ('already exists', 'in flight')),
    primary key (backfill, tick)
) strict, without rowid;
