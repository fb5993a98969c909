select run_id from dag_run where dag = ?1 and run_id in (select value from json_each(?2))
