insert into stream_replay (trigger_no, wish, state, created_at)
values (?1, ?2, 'running', ?3)
returning replay
