-- Tells this database from any other, for names outside of it: the logs in an archive.
create table installation (
    one  integer primary key check (one = 1),
    id   text not null
);
insert into installation (one, id) values (1, left(replace(gen_random_uuid()::text, '-', ''), 16));
