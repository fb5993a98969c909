-- Streams: how far they are read, and the runs that were made of what was read.
create table stream_trigger (
    trigger_no bigint generated always as identity primary key,
    dag bigint not null references dag (dag),
    name text not null,
    is_paused boolean not null,
    created_at bigint not null,
    unique (dag, name)
);

-- The columns of the owner are for the day when several processes share the partitions; until
-- then the holder of the term reads all of them, and `owner_epoch` is the term that moved it last.
create table stream_cursor (
    trigger_no bigint not null references stream_trigger (trigger_no),
    replay bigint not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    next_offset bigint not null,
    end_offset bigint,
    leader_epoch bigint,
    owner text,
    owner_epoch bigint not null,
    lease_until bigint,
    generation bigint not null default 0,
    halted text,
    n_taken bigint not null default 0,
    n_filtered bigint not null default 0,
    n_missing bigint not null default 0,
    n_skipped bigint not null default 0,
    n_quarantined bigint not null default 0,
    n_deduped bigint not null default 0,
    n_lost bigint not null default 0,
    updated_at bigint not null,
    primary key (trigger_no, replay, topic, partition, incarnation)
);

create table stream_batch (
    run bigint primary key references dag_run (run) on delete cascade,
    trigger_no bigint not null references stream_trigger (trigger_no),
    replay bigint not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    first_offset bigint not null,
    end_offset bigint not null,
    slot integer not null,
    lane text,
    n_records bigint not null,
    n_bytes bigint not null,
    sha256 text not null,
    facts text not null,
    records bytea not null
);

create index stream_batch_newest on stream_batch (trigger_no, run desc);

create table stream_poison (
    poison bigint generated always as identity primary key,
    trigger_no bigint not null references stream_trigger (trigger_no),
    replay bigint not null,
    topic text not null,
    incarnation text not null,
    partition integer not null,
    record_offset bigint not null,
    record_at bigint,
    class text not null,
    message text not null,
    key bytea,
    value bytea,
    headers text not null,
    state text not null check (state in ('held', 'retried', 'dropped')),
    sent_at bigint,
    created_at bigint not null
);

create index stream_poison_newest on stream_poison (trigger_no, poison desc);
create index stream_poison_unsent on stream_poison (trigger_no, poison) where sent_at is null;

create table stream_seen (
    trigger_no bigint not null references stream_trigger (trigger_no),
    hash bytea not null check (length(hash) = 32),
    topic text not null,
    incarnation text not null,
    partition integer not null,
    record_offset bigint not null,
    expires_at bigint not null,
    primary key (trigger_no, hash)
);

create index stream_seen_expiry on stream_seen (expires_at);
