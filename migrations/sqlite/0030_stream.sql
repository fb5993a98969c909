-- Streams: how far they are read, and the runs that were made of what was read.
create table stream_trigger (
    trigger_no integer primary key autoincrement,
    dag integer not null references dag (dag),
    name text not null,
    is_paused integer not null check (is_paused in (0, 1)),
    created_at integer not null,
    unique (dag, name)
) strict;

-- The columns of the owner are for the day when several processes share the partitions; until
-- then the holder of the term reads all of them, and `owner_epoch` is the term that moved it last.
create table stream_cursor (
    trigger_no integer not null references stream_trigger (trigger_no),
    replay integer not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    next_offset integer not null,
    end_offset integer,
    leader_epoch integer,
    owner text,
    owner_epoch integer not null,
    lease_until integer,
    generation integer not null default 0,
    halted text,
    n_taken integer not null default 0,
    n_filtered integer not null default 0,
    n_missing integer not null default 0,
    n_skipped integer not null default 0,
    n_quarantined integer not null default 0,
    n_deduped integer not null default 0,
    n_lost integer not null default 0,
    updated_at integer not null,
    primary key (trigger_no, replay, topic, partition, incarnation)
) strict, without rowid;

create table stream_batch (
    run integer primary key references dag_run (run) on delete cascade,
    trigger_no integer not null references stream_trigger (trigger_no),
    replay integer not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    first_offset integer not null,
    end_offset integer not null,
    slot integer not null,
    lane text,
    n_records integer not null,
    n_bytes integer not null,
    sha256 text not null,
    facts text not null,
    records blob not null
) strict;

create index stream_batch_newest on stream_batch (trigger_no, run desc);

create table stream_poison (
    poison integer primary key autoincrement,
    trigger_no integer not null references stream_trigger (trigger_no),
    replay integer not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    record_offset integer not null,
    record_at integer,
    class text not null,
    message text not null,
    key blob,
    value blob,
    headers text not null,
    state text not null check (state in ('held', 'retried', 'dropped')),
    sent_at integer,
    created_at integer not null
) strict;

create index stream_poison_newest on stream_poison (trigger_no, poison desc);
create index stream_poison_unsent on stream_poison (trigger_no, poison) where sent_at is null;

create table stream_seen (
    trigger_no integer not null references stream_trigger (trigger_no),
    hash blob not null check (length(hash) = 32),
    topic text not null,
    incarnation text not null,
    partition integer not null,
    record_offset integer not null,
    expires_at integer not null,
    primary key (trigger_no, hash)
) strict, without rowid;

create index stream_seen_expiry on stream_seen (expires_at);
