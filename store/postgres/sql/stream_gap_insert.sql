insert into stream_gap
    (trigger_no, replay, topic, incarnation, partition, from_offset, to_offset, why, seen_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
