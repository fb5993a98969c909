insert into stream_seen (trigger_no, hash, topic, incarnation, partition, record_offset, expires_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (trigger_no, hash) do update set
    topic = excluded.topic, incarnation = excluded.incarnation, partition = excluded.partition,
    record_offset = excluded.record_offset, expires_at = excluded.expires_at
