insert into task_try
    (run, task_no, map_index, state, try_number,
     max_tries, epoch, worker, losses, scheduled_at,
     queued_at, started_at, ended_at, not_before, reason,
     message, exit_code, followed, map_item, clears)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
on conflict (run, task_no, map_index, try_number, epoch) do update set
    state = excluded.state,
    max_tries = excluded.max_tries,
    worker = excluded.worker,
    losses = excluded.losses,
    scheduled_at = excluded.scheduled_at,
    queued_at = excluded.queued_at,
    started_at = excluded.started_at,
    ended_at = excluded.ended_at,
    not_before = excluded.not_before,
    reason = excluded.reason,
    message = excluded.message,
    exit_code = excluded.exit_code,
    followed = excluded.followed,
    map_item = excluded.map_item,
    clears = excluded.clears
