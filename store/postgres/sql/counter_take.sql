-- Numbers come from here and not from a sequence: a sequence skips some after a crash.
insert into counter (name, value) values ($1, $2)
on conflict (name) do update set value = counter.value + excluded.value
returning value
