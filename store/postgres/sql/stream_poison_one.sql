select poison, trigger_no, replay, topic, incarnation, partition, record_offset, record_at, class, message,
       key, value, headers, state, sent_at, created_at
from stream_poison
where trigger_no = $1 and poison = $2 and state = 'held'
