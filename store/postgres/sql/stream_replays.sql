select replay, trigger_no, wish, state, created_at, ended_at
from stream_replay
where trigger_no = $1
order by replay desc
limit $2
