-- Wishes to make the runs of past dates, and what became of each date.
create table backfill (
    backfill bigint primary key,
    dag bigint not null references dag (dag),
    from_date bigint not null,
    to_date bigint not null,
    is_backwards boolean not null,
    reprocess text not null check (reprocess in ('none', 'failed', 'completed')),
    max_active_runs bigint not null,
    conf text not null,
    is_paused boolean not null,
    position bigint,
    created_at bigint not null,
    updated_at bigint not null,
    completed_at bigint
);

create index backfill_open on backfill (backfill) where completed_at is null;

create table backfill_date (
    backfill bigint not null references backfill (backfill),
    tick bigint not null,
    logical_date bigint not null,
    run bigint,
    skipped text check (skipped in ('already exists', 'in flight')),
    primary key (backfill, tick)
);
