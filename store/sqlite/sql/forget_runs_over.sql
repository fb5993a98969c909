select run
from dag_run
where run in (select value from json_each(?1)) and state in ('success', 'failed')
order by run
