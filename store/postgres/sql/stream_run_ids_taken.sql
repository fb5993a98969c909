select run_id from dag_run where dag = $1 and run_id = any ($2::text[])
