select poison, trigger_no, replay, topic, incarnation, partition, record_offset, record_at, class, message,
       key, value, headers, state, sent_at, created_at
from stream_poison
where trigger_no = $1 and sent_at is null and state = 'held'
order by poison
limit $2
