-- What is to be told, and what came of telling it. A key comes once; what is settled stays for a
-- day, so that the same event is not told again.
create table alert (
    key text primary key not null,
    at integer not null,
    due_at integer not null,
    n_tries integer not null default 0,
    body text not null,
    error text,
    done_at integer
) strict, without rowid;
create index alert_due on alert (due_at) where done_at is null;
create index alert_done on alert (done_at) where done_at is not null;
