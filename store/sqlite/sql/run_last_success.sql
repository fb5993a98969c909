select data_interval_start, data_interval_end, started_at, ended_at
from dag_run
where dag = ?1 and state = 'success' and logical_date < ?2
order by logical_date desc
limit 1
