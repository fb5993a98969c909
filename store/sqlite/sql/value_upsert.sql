insert into task_value (run, task_no, map_index, key, value)
values (?1, ?2, ?3, ?4, ?5)
on conflict (run, task_no, map_index, key) do update set value = excluded.value
