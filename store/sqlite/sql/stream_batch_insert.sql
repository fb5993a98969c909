insert into stream_batch
    (run, trigger_no, replay, topic, incarnation, partition, first_offset, end_offset, slot, lane,
     n_records, n_bytes, sha256, facts, records)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
