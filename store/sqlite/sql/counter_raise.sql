insert into counter (name, value) values ('run', ?1)
on conflict (name) do update set value = max(value, excluded.value)
