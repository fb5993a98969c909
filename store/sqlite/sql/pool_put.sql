insert into pool (name, slots, description, include_deferred, from_file)
values (?1, ?2, ?3, ?4, ?5)
on conflict (name) do update set
    slots = excluded.slots,
    description = excluded.description,
    include_deferred = excluded.include_deferred,
    from_file = excluded.from_file
