-- The version follows in the same transaction; its reference is checked at the end.
insert into dag (dag_id, file, is_paused, is_stale, version, updated_at)
values (?1, ?2, ?3, 0, 0, ?4)
returning dag
