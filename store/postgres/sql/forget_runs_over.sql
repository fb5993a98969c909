select run from dag_run where run = any ($1) and state in ('success', 'failed')
order by run
