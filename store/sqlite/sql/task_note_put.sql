insert into task_note (run, task_no, map_index, note) values (?1, ?2, ?3, ?4)
on conflict (run, task_no, map_index) do update set note = excluded.note
