-- Pools. A negative number of slots is no limit.
create table pool (
    name text collate "C" primary key,
    slots bigint not null check (slots >= -1),
    description text not null,
    include_deferred boolean not null,
    -- The configuration file declares it, so nobody changes it by hand.
    from_file boolean not null
);
