select dag, state::text, count(*) from dag_run group by dag, state
