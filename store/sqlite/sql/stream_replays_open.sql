select replay, trigger_no, wish, state, created_at, ended_at
from stream_replay
where state = 'running'
order by replay
