-- Connections and variables. Passwords, extras and values are sealed before they come here.
-- Workers need no right to read them.
create table connection (
    id text collate "C" primary key,
    conn_type text not null,
    description text,
    host text,
    port integer check (port between 0 and 65535),
    login text,
    schema_name text,
    password bytea,
    extra bytea,
    updated_at bigint not null
);

create table variable (
    key text collate "C" primary key,
    description text,
    is_marked boolean not null,
    value bytea not null,
    updated_at bigint not null
);

-- What the attempt needs of them, sealed for workers; it goes with the attempt.
alter table dispatch add column sealed bytea;
