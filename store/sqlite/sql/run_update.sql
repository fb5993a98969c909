-- What a run is called and what caused it never changes.
update dag_run set
    state = ?1,
    version = ?2,
    data_interval_start = ?3,
    data_interval_end = ?4,
    run_after = ?5,
    queued_at = ?6,
    started_at = ?7,
    ended_at = ?8,
    conf = ?9,
    triggered_by = ?10,
    note = ?11,
    reason = ?12,
    retries_used = ?13
where run = ?14
