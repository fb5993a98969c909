-- Pools. A negative number of slots is no limit.
create table pool (
    name text primary key,
    slots integer not null check (slots >= -1),
    description text not null,
    include_deferred integer not null check (include_deferred in (0, 1)),
    -- 1: the configuration file declares it, so nobody changes it by hand.
    from_file integer not null check (from_file in (0, 1))
) strict, without rowid;
