insert into stream_cursor
    (trigger_no, replay, topic, incarnation, partition, next_offset, end_offset, owner_epoch, halted, n_lost, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict do nothing
