insert into stream_poison
    (cause, trigger_no, replay, topic, incarnation, partition, record_offset, record_at, class, message,
     key, value, headers, state, created_at)
select new.value ->> 'cause', new.value ->> 'trigger', new.value ->> 'replay', new.value ->> 'topic',
       new.value ->> 'incarnation', new.value ->> 'partition', new.value ->> 'offset', new.value ->> 'timestamp',
       new.value ->> 'class', new.value ->> 'message', unhex(new.value ->> 'key'), unhex(new.value ->> 'value'),
       new.value ->> 'headers', 'held', new.value ->> 'at'
from json_each(?1, '$.poison') as new
where true
on conflict do nothing
