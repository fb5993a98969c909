-- Connections and variables. Passwords, extras and values are sealed before they come here.
create table connection (
    id text primary key not null,
    conn_type text not null,
    description text,
    host text,
    port integer check (port between 0 and 65535),
    login text,
    schema_name text,
    password blob,
    extra blob,
    updated_at integer not null
) strict, without rowid;

create table variable (
    key text primary key not null,
    description text,
    is_marked integer not null,
    value blob not null,
    updated_at integer not null
) strict, without rowid;
