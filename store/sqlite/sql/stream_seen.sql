select hash, topic, incarnation, partition, record_offset, expires_at
from stream_seen
where trigger_no = ?1 and hash = ?2 and expires_at > ?3
