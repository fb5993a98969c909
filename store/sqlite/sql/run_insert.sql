insert into dag_run
    (run, dag, run_id, run_type, state,
     version, cause, logical_date, data_interval_start, data_interval_end,
     run_after, queued_at, started_at, ended_at, conf,
     triggered_by, note, reason, retries_used)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
