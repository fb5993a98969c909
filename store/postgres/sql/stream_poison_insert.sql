insert into stream_poison
    (trigger_no, replay, topic, incarnation, partition, record_offset, record_at, class, message,
     key, value, headers, state, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'held', $13)
