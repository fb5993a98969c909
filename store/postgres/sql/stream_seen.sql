select hash, topic, incarnation, partition, record_offset, expires_at
from stream_seen
where trigger_no = $1 and hash = any ($2::bytea[]) and expires_at > $3
