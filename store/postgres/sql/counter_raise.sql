insert into counter (name, value) values ('run', $1)
on conflict (name) do update set value = greatest(counter.value, excluded.value)
