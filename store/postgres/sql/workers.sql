select worker, host, pid, slots, array_to_string(queues, ','), log_url, log_token, is_draining,
       (extract(epoch from started_at) * 1000000)::bigint, (extract(epoch from seen_at) * 1000000)::bigint
from worker
order by worker
