insert into stream_block (run, trigger_no, lane, blocked_at)
select new.value ->> 'run', new.value ->> 'trigger', new.value ->> 'lane', new.value ->> 'at'
from json_each(?1, '$.blocks') as new
where true
on conflict do nothing
