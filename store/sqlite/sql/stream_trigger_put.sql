insert into stream_trigger (dag, name, is_paused, created_at) values (?1, ?2, 0, ?3)
on conflict (dag, name) do nothing
