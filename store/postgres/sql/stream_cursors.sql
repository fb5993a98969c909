select trigger_no, replay, generation, topic, incarnation, partition, next_offset, end_offset, halted,
       n_taken, n_filtered, n_missing, n_skipped, n_quarantined, n_deduped, n_lost, updated_at
from stream_cursor
where trigger_no = $1 and replay = $2
order by topic, incarnation, partition
