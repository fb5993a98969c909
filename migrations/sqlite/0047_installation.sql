-- Tells this database from any other, for names outside of it: the logs in an archive.
create table installation (
    only integer primary key check (only = 1),
    id   text not null
);
insert into installation (only, id) values (1, lower(hex(randomblob(8))));
