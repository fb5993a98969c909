-- The versions follow in the same transaction; the references are checked at the end.
insert into dag (dag_id, file, is_paused, is_stale, version, updated_at)
select value ->> 'dag_id', value ->> 'file', value ->> 'is_paused', 0, 0, value ->> 'at'
from json_each(?1)
order by key
returning dag_id, dag
