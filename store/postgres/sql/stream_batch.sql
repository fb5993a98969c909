select run, trigger_no, replay, topic, incarnation, partition, first_offset, end_offset, slot, lane,
       n_records, n_bytes, sha256, facts
from stream_batch
where run = $1
