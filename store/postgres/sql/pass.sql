-- One pass, in one statement and one transaction: each row is touched once, by its key.
-- Every write joins `fence`: with another term it is empty, and nothing is written.
-- What must be there and is not ends the statement by refuse_pass, and undoes all of it.
with fence as materialized (
    select true as is_held from term where shard = $1 and term = $2 for share
),
missing_run as (
    select touched.run
    from fence cross join unnest($3::bigint[]) as touched (run)
    where not exists (select 1 from dag_run where dag_run.run = touched.run)
),
new_runs as (
    insert into dag_run
        (run, dag, run_id, run_type, state,
         version, cause, logical_date, data_interval_start, data_interval_end,
         run_after, queued_at, started_at, ended_at, conf,
         triggered_by, note, reason, retries_used)
    select new.run, new.dag, new.run_id, new.run_type::run_type, new.state::run_state,
           new.version, new.cause, new.logical_date, new.data_interval_start, new.data_interval_end,
           new.run_after, new.queued_at, new.started_at, new.ended_at, new.conf,
           new.triggered_by, new.note, new.reason, new.retries_used
    from fence cross join unnest(
        $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
        $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[],
        $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::text[],
        $19::text[], $20::text[], $21::text[], $122::integer[]
    ) as new (
        run, dag, run_id, run_type, state,
        version, cause, logical_date, data_interval_start, data_interval_end,
        run_after, queued_at, started_at, ended_at, conf,
        triggered_by, note, reason, retries_used
    )
),
last_run as (
    insert into counter (name, value)
    select 'run', $22::bigint from fence where $22::bigint is not null
    on conflict (name) do update set value = greatest(counter.value, excluded.value)
),
-- What a run is called and what caused it never changes.
changed_runs as (
    update dag_run set
        state = new.state::run_state,
        version = new.version,
        data_interval_start = new.data_interval_start,
        data_interval_end = new.data_interval_end,
        run_after = new.run_after,
        queued_at = new.queued_at,
        started_at = new.started_at,
        ended_at = new.ended_at,
        conf = new.conf,
        triggered_by = new.triggered_by,
        note = new.note,
        reason = new.reason,
        retries_used = new.retries_used
    from fence cross join unnest(
        $23::bigint[], $24::text[], $25::bigint[], $26::bigint[], $27::bigint[],
        $28::bigint[], $29::bigint[], $30::bigint[], $31::bigint[], $32::text[],
        $33::text[], $34::text[], $35::text[], $123::integer[]
    ) as new (
        run, state, version, data_interval_start, data_interval_end,
        run_after, queued_at, started_at, ended_at, conf,
        triggered_by, note, reason, retries_used
    )
    where dag_run.run = new.run
    returning dag_run.run
),
-- An instance that comes anew is not deleted first.
removed_tasks as (
    delete from task_instance
    using fence cross join unnest($130::bigint[], $131::integer[], $132::integer[])
        as removed (run, task_no, map_index)
    where task_instance.run = removed.run
      and task_instance.task_no = removed.task_no
      and task_instance.map_index = removed.map_index
      and not exists (
          select 1
          from unnest($36::bigint[], $37::integer[], $38::integer[]) as kept (run, task_no, map_index)
          where kept.run = removed.run
            and kept.task_no = removed.task_no
            and kept.map_index = removed.map_index
      )
),
tasks as (
    insert into task_instance
        (run, task_no, map_index, state, try_number,
         max_tries, epoch, worker, losses, scheduled_at,
         queued_at, started_at, ended_at, not_before, reason,
         message, exit_code, followed, map_item, clears)
    select new.run, new.task_no, new.map_index, new.state::task_state, new.try_number,
           new.max_tries, new.epoch, new.worker, new.losses, new.scheduled_at,
           new.queued_at, new.started_at, new.ended_at, new.not_before, new.reason,
           new.message, new.exit_code, new.followed, new.map_item, new.clears
    from fence cross join unnest(
        $36::bigint[], $37::integer[], $38::integer[], $39::text[], $40::integer[],
        $41::integer[], $42::bigint[], $43::bigint[], $44::integer[], $45::bigint[],
        $46::bigint[], $47::bigint[], $48::bigint[], $49::bigint[], $50::text[],
        $51::text[], $52::integer[], $124::text[], $125::text[], $126::integer[]
    ) as new (
        run, task_no, map_index, state, try_number,
        max_tries, epoch, worker, losses, scheduled_at,
        queued_at, started_at, ended_at, not_before, reason,
        message, exit_code, followed, map_item, clears
    )
    on conflict (run, task_no, map_index) do update set
        state = excluded.state,
        try_number = excluded.try_number,
        max_tries = excluded.max_tries,
        epoch = excluded.epoch,
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
),
tries as (
    insert into task_try
        (run, task_no, map_index, state, try_number,
         max_tries, epoch, worker, losses, scheduled_at,
         queued_at, started_at, ended_at, not_before, reason,
         message, exit_code, followed, map_item, clears)
    select new.run, new.task_no, new.map_index, new.state::task_state, new.try_number,
           new.max_tries, new.epoch, new.worker, new.losses, new.scheduled_at,
           new.queued_at, new.started_at, new.ended_at, new.not_before, new.reason,
           new.message, new.exit_code, new.followed, new.map_item, new.clears
    from fence cross join unnest(
        $53::bigint[], $54::integer[], $55::integer[], $56::text[], $57::integer[],
        $58::integer[], $59::bigint[], $60::bigint[], $61::integer[], $62::bigint[],
        $63::bigint[], $64::bigint[], $65::bigint[], $66::bigint[], $67::text[],
        $68::text[], $69::integer[], $127::text[], $128::text[], $129::integer[]
    ) as new (
        run, task_no, map_index, state, try_number,
        max_tries, epoch, worker, losses, scheduled_at,
        queued_at, started_at, ended_at, not_before, reason,
        message, exit_code, followed, map_item, clears
    )
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
),
-- A value that is kept anew is not deleted first: no row is touched twice.
cleared_values as (
    delete from task_value
    using fence cross join unnest($70::bigint[], $71::integer[], $72::integer[])
        as cleared (run, task_no, map_index)
    where task_value.run = cleared.run
      and task_value.task_no = cleared.task_no
      and task_value.map_index = cleared.map_index
      and not exists (
          select 1
          from unnest($73::bigint[], $74::integer[], $75::integer[], $76::text[])
              as kept (run, task_no, map_index, key)
          where kept.run = task_value.run
            and kept.task_no = task_value.task_no
            and kept.map_index = task_value.map_index
            and kept.key = task_value.key
      )
),
kept_values as (
    insert into task_value (run, task_no, map_index, key, value)
    select new.run, new.task_no, new.map_index, new.key, new.value
    from fence cross join unnest(
        $73::bigint[], $74::integer[], $75::integer[], $76::text[], $77::text[]
    ) as new (run, task_no, map_index, key, value)
    on conflict (run, task_no, map_index, key) do update set value = excluded.value
),
changes as (
    insert into change (seq, at, run, body)
    select new.seq, new.at, new.run, new.body
    from fence cross join unnest($78::bigint[], $79::bigint[], $80::bigint[], $81::text[])
        as new (seq, at, run, body)
),
forgotten_changes as (
    delete from change using fence where change.seq <= $82::bigint
),
-- The high mark of a schedule never falls.
patched_dags as (
    update dag set
        is_paused = new.is_paused,
        schedule_high = greatest(dag.schedule_high, new.schedule_high),
        next_run = new.next_run
    from fence cross join unnest($83::bigint[], $84::boolean[], $85::bigint[], $86::bigint[])
        as new (dag, is_paused, schedule_high, next_run)
    where dag.dag = new.dag
    returning dag.dag
),
-- A pool or a note that is kept anew is not deleted first.
dropped_pools as (
    delete from pool using fence
    where pool.name = any ($87::text[]) and pool.name <> all ($88::text[])
),
kept_pools as (
    insert into pool (name, slots, description, include_deferred, from_file)
    select new.name, new.slots, new.description, new.include_deferred, new.from_file
    from fence cross join unnest($88::text[], $89::bigint[], $90::text[], $91::boolean[], $92::boolean[])
        as new (name, slots, description, include_deferred, from_file)
    on conflict (name) do update set
        slots = excluded.slots,
        description = excluded.description,
        include_deferred = excluded.include_deferred,
        from_file = excluded.from_file
),
emptied_notes as (
    delete from task_note
    using fence cross join unnest($93::bigint[], $94::integer[], $95::integer[])
        as emptied (run, task_no, map_index)
    where task_note.run = emptied.run
      and task_note.task_no = emptied.task_no
      and task_note.map_index = emptied.map_index
),
kept_notes as (
    insert into task_note (run, task_no, map_index, note)
    select new.run, new.task_no, new.map_index, new.note
    from fence cross join unnest($96::bigint[], $97::integer[], $98::integer[], $99::text[])
        as new (run, task_no, map_index, note)
    on conflict (run, task_no, map_index) do update set note = excluded.note
),
-- For workers in other processes: what waits for them, what they should end, and what a pass has
-- taken in from them. One attempt is in one of these lists.
dispatched as (
    insert into dispatch (run, task_no, map_index, epoch, queue, priority, version, try_number, sealed, seq)
    select new.run, new.task_no, new.map_index, new.epoch, new.queue, new.priority, new.version, new.try_number, new.sealed, $152::bigint
    from fence cross join unnest(
        $100::bigint[], $101::integer[], $102::integer[], $103::bigint[],
        $104::text[], $105::bigint[], $106::bigint[], $107::integer[], $151::bytea[]
    ) as new (run, task_no, map_index, epoch, queue, priority, version, try_number, sealed)
    on conflict (run, task_no, map_index, epoch) do nothing
),
new_mark as (
    insert into dispatch_mark (shard, seq)
    select $1, $153::bigint from fence where $153::bigint is not null
    on conflict do nothing
),
old_marks as (
    delete from dispatch_mark using fence
    where dispatch_mark.shard = $1
      and dispatch_mark.seq >= $154::bigint
      and dispatch_mark.seq < $153::bigint
),
told_kills as (
    insert into kill (run, task_no, map_index, epoch, worker, reason)
    select new.run, new.task_no, new.map_index, new.epoch, new.worker, new.reason
    from fence cross join unnest(
        $108::bigint[], $109::integer[], $110::integer[], $111::bigint[], $112::bigint[], $113::text[]
    ) as new (run, task_no, map_index, epoch, worker, reason)
    on conflict (run, task_no, map_index, epoch) do nothing
),
taken_dispatches as (
    delete from dispatch
    using fence cross join unnest(
        $114::bigint[], $115::integer[], $116::integer[], $117::bigint[]
    ) as taken (run, task_no, map_index, epoch)
    where (dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch)
        = (taken.run, taken.task_no, taken.map_index, taken.epoch)
),
taken_reports as (
    delete from report
    using fence cross join unnest(
        $118::bigint[], $119::integer[], $120::integer[], $121::bigint[]
    ) as taken (run, task_no, map_index, epoch)
    where (report.run, report.task_no, report.map_index, report.epoch)
        = (taken.run, taken.task_no, taken.map_index, taken.epoch)
),
taken_kills as (
    delete from kill
    using fence cross join unnest(
        $118::bigint[], $119::integer[], $120::integer[], $121::bigint[]
    ) as taken (run, task_no, map_index, epoch)
    where (kill.run, kill.task_no, kill.map_index, kill.epoch)
        = (taken.run, taken.task_no, taken.map_index, taken.epoch)
),
-- What was wished for never changes; how far it is does.
kept_backfills as (
    insert into backfill
        (backfill, dag, from_date, to_date, is_backwards,
         reprocess, max_active_runs, conf, is_paused, position,
         created_at, updated_at, completed_at, on_latest_version)
    select new.backfill, new.dag, new.from_date, new.to_date, new.is_backwards,
           new.reprocess, new.max_active_runs, new.conf, new.is_paused, new.position,
           new.created_at, new.updated_at, new.completed_at, new.on_latest_version
    from fence cross join unnest(
        $133::bigint[], $134::bigint[], $135::bigint[], $136::bigint[], $137::boolean[],
        $138::text[], $139::bigint[], $140::text[], $141::boolean[], $142::bigint[],
        $143::bigint[], $144::bigint[], $145::bigint[], $181::boolean[]
    ) as new (
        backfill, dag, from_date, to_date, is_backwards,
        reprocess, max_active_runs, conf, is_paused, position,
        created_at, updated_at, completed_at, on_latest_version
    )
    on conflict (backfill) do update set
        is_paused = excluded.is_paused,
        position = excluded.position,
        updated_at = excluded.updated_at,
        completed_at = excluded.completed_at
),
kept_backfill_dates as (
    insert into backfill_date (backfill, tick, logical_date, run, skipped)
    select new.backfill, new.tick, new.logical_date, new.run, new.skipped
    from fence cross join unnest($146::bigint[], $147::bigint[], $148::bigint[], $149::bigint[], $150::text[])
        as new (backfill, tick, logical_date, run, skipped)
    on conflict (backfill, tick) do update set run = excluded.run, skipped = excluded.skipped
),
-- What an asset is called and when it came never changes.
kept_assets as (
    insert into asset (asset, name, uri, asset_group, description, extra, created_at, updated_at)
    select new.asset, new.name, new.uri, new.asset_group, new.description, new.extra, new.created_at, new.updated_at
    from fence cross join unnest($155::bigint[], $156::text[], $157::text[], $158::text[], $159::text[], $160::text[], $161::bigint[], $162::bigint[])
        as new (asset, name, uri, asset_group, description, extra, created_at, updated_at)
    on conflict (asset) do update set
        uri = excluded.uri,
        asset_group = excluded.asset_group,
        description = excluded.description,
        extra = excluded.extra,
        updated_at = excluded.updated_at
),
kept_asset_events as (
    insert into asset_event
        (event, asset, at, extra, source_dag_id,
         source_run_id, source_task_id, source_map_index, emitted_by)
    select new.event, new.asset, new.at, new.extra, new.source_dag_id,
           new.source_run_id, new.source_task_id, new.source_map_index, new.emitted_by
    from fence cross join unnest($163::bigint[], $164::bigint[], $165::bigint[], $166::text[], $167::text[], $168::text[], $169::text[], $170::integer[], $171::text[])
        as new (event, asset, at, extra, source_dag_id,
                source_run_id, source_task_id, source_map_index, emitted_by)
    on conflict (event) do nothing
),
dropped_deliveries as (
    delete from asset_delivery
    using fence cross join unnest($172::bigint[], $173::bigint[]) as dropped (dag, event)
    where asset_delivery.dag = dropped.dag
      and asset_delivery.event = dropped.event
      and asset_delivery.run is null
),
-- What a run has taken stays with it.
kept_deliveries as (
    insert into asset_delivery (dag, event, run)
    select new.dag, new.event, new.run
    from fence cross join unnest($174::bigint[], $175::bigint[], $176::bigint[]) as new (dag, event, run)
    on conflict (dag, event) do update set run = excluded.run where asset_delivery.run is null
),
stray_event as (
    select new.event
    from fence cross join unnest($163::bigint[], $164::bigint[]) as new (event, asset)
    where not exists (select 1 from asset where asset.asset = new.asset)
      and new.asset <> all ($155::bigint[])
),
stray_delivery as (
    select new.event
    from fence cross join unnest($175::bigint[]) as new (event)
    where not exists (select 1 from asset_event where asset_event.event = new.event)
      and new.event <> all ($163::bigint[])
),
-- The same event is told once.
kept_alerts as (
    insert into alert (key, at, due_at, body)
    select new.key, new.at, new.at, new.body
    from fence cross join unnest($177::text[], $178::bigint[], $179::text[])
        as new (key, at, body)
    on conflict (key) do nothing
),
-- What is rare of streams comes as one text.
kept_poison as (
    insert into stream_poison
        (cause, trigger_no, replay, topic, incarnation, partition, record_offset, record_at, class, message,
         key, value, headers, state, created_at)
    select new.cause, new.trigger, new.replay, new.topic, new.incarnation, new.partition, new."offset", new.timestamp,
           new.class, new.message, decode(new.key, 'hex'), decode(new.value, 'hex'), new.headers, 'held', new.at
    from fence cross join json_to_recordset($180::json -> 'poison') as new (
        cause text, trigger bigint, replay bigint, topic text, incarnation text, partition integer,
        "offset" bigint, timestamp bigint, class text, message text, key text, value text, headers text, at bigint
    )
    on conflict do nothing
),
kept_blocks as (
    insert into stream_block (run, trigger_no, lane, blocked_at)
    select new.run, new.trigger, new.lane, new.at
    from fence cross join json_to_recordset($180::json -> 'blocks') as new (
        run bigint, trigger bigint, lane text, at bigint
    )
    on conflict do nothing
),
dropped_blocks as (
    delete from stream_block
    using fence
    where run = any (array (select value::bigint from json_array_elements_text($180::json -> 'unblocked')))
)
select
    coalesce((select is_held from fence), false) as is_held,
    (select refuse_pass('run ' || min(run) || ' is not there')
     from missing_run having count(*) > 0),
    (select refuse_pass('the asset of event ' || min(event) || ' is not there')
     from stray_event having count(*) > 0),
    (select refuse_pass('event ' || min(event) || ' is not there')
     from stray_delivery having count(*) > 0),
    (select refuse_pass('a run that has changed is not there')
     from changed_runs having count(*) <> cardinality($23::bigint[])
        and exists (select 1 from fence)),
    (select refuse_pass('a DAG that has changed is not there')
     from patched_dags having count(*) <> cardinality($83::bigint[])
        and exists (select 1 from fence)),
    (select pg_notify('tidemill_work', '') is null from fence
     where cardinality($100::bigint[]) + cardinality($108::bigint[]) > 0)
