insert into stream_batch
    (run, trigger_no, replay, topic, incarnation, partition, first_offset, end_offset, slot, lane,
     n_records, n_bytes, sha256, facts, records)
select new.run, $1, $2, new.topic, new.incarnation, new.partition, new.first_offset, new.end_offset, new.slot, new.lane,
       new.n_records, new.n_bytes, new.sha256, new.facts, new.records
from unnest(
    $3::bigint[], $4::text[], $5::text[], $6::integer[], $7::bigint[], $8::bigint[], $9::integer[], $10::text[],
    $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::bytea[]
) as new (
    run, topic, incarnation, partition, first_offset, end_offset, slot, lane,
    n_records, n_bytes, sha256, facts, records
)
