delete from dag_run where run = any ($1)
