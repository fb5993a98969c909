delete from dag_run where run in (select value from json_each(?1))
