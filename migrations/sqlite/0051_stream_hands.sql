-- A record that a task or the end of a run has put into quarantine: once, whatever is written twice.
alter table stream_poison add column cause text;
create unique index stream_poison_cause on stream_poison (cause) where cause is not null;

-- Readings of a range besides the live one, each with cursors of its own.
create table stream_replay (
    replay integer primary key autoincrement,
    trigger_no integer not null references stream_trigger (trigger_no),
    wish text not null,
    state text not null check (state in ('running', 'done', 'cancelled')),
    created_at integer not null,
    ended_at integer
) strict;

create index stream_replay_newest on stream_replay (trigger_no, replay desc);

-- Runs that failed and hold up those behind them in their lane until a person has decided. They
-- outlive the run.
create table stream_block (
    run integer primary key,
    trigger_no integer not null references stream_trigger (trigger_no),
    lane text not null,
    blocked_at integer not null
) strict;

-- Records that were gone before they were read.
create table stream_gap (
    gap integer primary key autoincrement,
    trigger_no integer not null references stream_trigger (trigger_no),
    replay integer not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    from_offset integer not null,
    to_offset integer not null,
    why text not null,
    seen_at integer not null
) strict;

create index stream_gap_newest on stream_gap (trigger_no, gap desc);
