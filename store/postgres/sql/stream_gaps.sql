select gap, trigger_no, replay, topic, incarnation, partition, from_offset, to_offset, why, seen_at
from stream_gap
where trigger_no = $1
order by gap desc
limit $2
