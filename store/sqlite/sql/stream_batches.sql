select run, trigger_no, replay, topic, incarnation, partition, first_offset, end_offset, slot, lane,
       n_records, n_bytes, sha256, facts
from stream_batch
where trigger_no = ?1
order by run desc
limit ?2
