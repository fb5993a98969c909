select data_interval_start, data_interval_end, started_at, ended_at
from run_success
where dag = $1 and logical_date < $2
order by logical_date desc
limit 1
