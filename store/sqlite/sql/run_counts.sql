select dag, state, count(*) from dag_run group by dag, state
