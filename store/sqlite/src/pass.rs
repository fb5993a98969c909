//! One pass of the engine in one transaction: the hot path.

use crate::asset::{put_asset, put_asset_event};
use crate::raw::{Bind, RawError, Session, Statement};
use crate::sql;
use crate::trouble::Trouble;
use tidemill_model::{MapIndex, RunNo, TaskNo, Ts};
use tidemill_store::memory::{CHANGES_KEPT, CHANGES_TRIMMED_EVERY};
use tidemill_store::{
    BackfillDate, BackfillRow, Change, DagPatch, Pass, PoolRecord, RunRow, TaskNote, TaskRow,
    ValueRow,
};

/// The statements of a pass, prepared once.
#[derive(Debug)]
pub(crate) struct PassStatements {
    begin: Statement,
    commit: Statement,
    rollback: Statement,
    term_check: Statement,
    run_insert: Statement,
    run_update: Statement,
    counter_raise: Statement,
    task_upsert: Statement,
    task_delete: Statement,
    try_upsert: Statement,
    value_delete: Statement,
    value_upsert: Statement,
    change_insert: Statement,
    change_trim: Statement,
    dag_patch: Statement,
    pool_delete: Statement,
    pool_put: Statement,
    task_note_delete: Statement,
    task_note_put: Statement,
    backfill_put: Statement,
    backfill_date_put: Statement,
    asset_put: Statement,
    asset_event_put: Statement,
    asset_delivery_drop: Statement,
    asset_delivery_put: Statement,
    alert_put: Statement,
    poison: Statement,
    block: Statement,
    unblock: Statement,
}

impl PassStatements {
    pub(crate) fn prepare(session: &Session<'_>) -> Result<PassStatements, RawError> {
        Ok(PassStatements {
            begin: session.prepare(sql::BEGIN)?,
            commit: session.prepare(sql::COMMIT)?,
            rollback: session.prepare(sql::ROLLBACK)?,
            term_check: session.prepare(sql::TERM_CHECK)?,
            run_insert: session.prepare(sql::RUN_INSERT)?,
            run_update: session.prepare(sql::RUN_UPDATE)?,
            counter_raise: session.prepare(sql::COUNTER_RAISE)?,
            task_upsert: session.prepare(sql::TASK_UPSERT)?,
            task_delete: session.prepare(sql::TASK_DELETE)?,
            try_upsert: session.prepare(sql::TRY_UPSERT)?,
            value_delete: session.prepare(sql::VALUE_DELETE)?,
            value_upsert: session.prepare(sql::VALUE_UPSERT)?,
            change_insert: session.prepare(sql::CHANGE_INSERT)?,
            change_trim: session.prepare(sql::CHANGE_TRIM)?,
            dag_patch: session.prepare(sql::DAG_PATCH)?,
            pool_delete: session.prepare(sql::POOL_DELETE)?,
            pool_put: session.prepare(sql::POOL_PUT)?,
            task_note_delete: session.prepare(sql::TASK_NOTE_DELETE)?,
            task_note_put: session.prepare(sql::TASK_NOTE_PUT)?,
            backfill_put: session.prepare(sql::BACKFILL_PUT)?,
            backfill_date_put: session.prepare(sql::BACKFILL_DATE_PUT)?,
            asset_put: session.prepare(sql::ASSET_PUT)?,
            asset_event_put: session.prepare(sql::ASSET_EVENT_PUT)?,
            asset_delivery_drop: session.prepare(sql::ASSET_DELIVERY_DROP)?,
            asset_delivery_put: session.prepare(sql::ASSET_DELIVERY_PUT)?,
            alert_put: session.prepare(sql::ALERT_PUT)?,
            poison: session.prepare(sql::PASS_POISON)?,
            block: session.prepare(sql::PASS_BLOCK)?,
            unblock: session.prepare(sql::PASS_UNBLOCK)?,
        })
    }
}

/// Writes a pass: all of it or nothing.
///
/// The outcome is always known. The database is in this process, so there is no answer that could
/// get lost on its way: a commit that returns an error has not happened for any reader.
pub(crate) fn commit(
    session: &Session<'_>,
    statements: &mut PassStatements,
    pass: &Pass,
) -> Result<(), Trouble> {
    session.run(&mut statements.begin, &[])?;
    let written = write(session, statements, pass).and_then(|()| {
        session
            .run(&mut statements.commit, &[])
            .map(drop)
            .map_err(Trouble::from)
    });
    if written.is_err() && session.is_in_transaction() {
        // Should even this fail, the next pass cannot begin, and says so.
        let _ = session.run(&mut statements.rollback, &[]);
    }
    written
}

fn write(
    session: &Session<'_>,
    statements: &mut PassStatements,
    pass: &Pass,
) -> Result<(), Trouble> {
    if !session.run(&mut statements.term_check, &[Bind::Int(pass.term)])? {
        return Err(Trouble::TermLost);
    }
    for row in &pass.new_runs {
        insert_run(session, &mut statements.run_insert, row)?;
    }
    if let Some(last) = pass.new_runs.iter().map(|row| row.run.0).max() {
        session.run(&mut statements.counter_raise, &[Bind::Int(last)])?;
    }
    for row in &pass.runs {
        update_run(session, &mut statements.run_update, row)?;
    }
    for (run, task_no, map_index) in &pass.removed_tasks {
        let key = instance(*run, *task_no, *map_index);
        session.run(&mut statements.task_delete, &key)?;
    }
    for task in &pass.tasks {
        put_task(session, &mut statements.task_upsert, task)?;
    }
    for row in &pass.tries {
        put_task(session, &mut statements.try_upsert, &row.task)?;
    }
    for (run, task_no, map_index) in &pass.cleared_values {
        let key = instance(*run, *task_no, *map_index);
        session.run(&mut statements.value_delete, &key)?;
    }
    for value in &pass.values {
        put_value(session, &mut statements.value_upsert, value)?;
    }
    for change in &pass.changes {
        tell(session, statements, change)?;
    }
    for patch in &pass.dags {
        patch_dag(session, &mut statements.dag_patch, patch)?;
    }
    for name in &pass.dropped_pools {
        session.run(&mut statements.pool_delete, &[Bind::Text(name)])?;
    }
    for pool in &pass.pools {
        put_pool(session, &mut statements.pool_put, pool)?;
    }
    for note in &pass.notes {
        put_note(session, statements, note)?;
    }
    for row in &pass.backfills {
        put_backfill(session, &mut statements.backfill_put, row)?;
    }
    for date in &pass.backfill_dates {
        put_backfill_date(session, &mut statements.backfill_date_put, date)?;
    }
    for row in &pass.assets {
        put_asset(session, &mut statements.asset_put, row)?;
    }
    for event in &pass.asset_events {
        put_asset_event(session, &mut statements.asset_event_put, event)?;
    }
    for (dag, event) in &pass.dropped_deliveries {
        let key = [Bind::Int(dag.0), Bind::Int(event.0)];
        session.run(&mut statements.asset_delivery_drop, &key)?;
    }
    for one in &pass.deliveries {
        let run = one.run.map(|run| run.0).into();
        let values = [Bind::Int(one.dag.0), Bind::Int(one.event.0), run];
        session.run(&mut statements.asset_delivery_put, &values)?;
    }
    for alert in &pass.alerts {
        let body = alert.body.to_string();
        let row = [
            Bind::Text(&alert.key),
            Bind::Int(alert.at.0),
            Bind::Text(&body),
        ];
        session.run(&mut statements.alert_put, &row)?;
    }
    if !pass.streams.is_empty() {
        let text = pass.streams.to_json(|text| text.into()).to_string();
        for statement in [
            &mut statements.poison,
            &mut statements.block,
            &mut statements.unblock,
        ] {
            session.run(statement, &[Bind::Text(&text)])?;
        }
    }
    Ok(())
}

fn instance(run: RunNo, task_no: TaskNo, map_index: MapIndex) -> [Bind<'static>; 3] {
    [
        Bind::Int(run.0),
        Bind::Int(task_no.0.into()),
        Bind::Int(map_index.0.into()),
    ]
}

fn instant(at: Option<Ts>) -> Bind<'static> {
    at.map(|at| at.0).into()
}

fn insert_run(
    session: &Session<'_>,
    statement: &mut Statement,
    row: &RunRow,
) -> Result<(), Trouble> {
    let conf = row.conf.to_string();
    let values = [
        Bind::Int(row.run.0),
        Bind::Int(row.dag.0),
        Bind::Text(&row.run_id),
        Bind::Text(row.run_type.name()),
        Bind::Text(row.state.name()),
        Bind::Int(row.version.0),
        row.cause.as_deref().into(),
        instant(row.logical_date),
        instant(row.data_interval_start),
        instant(row.data_interval_end),
        Bind::Int(row.run_after.0),
        Bind::Int(row.queued_at.0),
        instant(row.started_at),
        instant(row.ended_at),
        Bind::Text(&conf),
        row.triggered_by.as_deref().into(),
        row.note.as_deref().into(),
        row.reason.map(|reason| reason.name()).into(),
        Bind::Int(row.retries_used.into()),
    ];
    session.run(statement, &values)?;
    Ok(())
}

fn update_run(
    session: &Session<'_>,
    statement: &mut Statement,
    row: &RunRow,
) -> Result<(), Trouble> {
    let conf = row.conf.to_string();
    let values = [
        Bind::Text(row.state.name()),
        Bind::Int(row.version.0),
        instant(row.data_interval_start),
        instant(row.data_interval_end),
        Bind::Int(row.run_after.0),
        Bind::Int(row.queued_at.0),
        instant(row.started_at),
        instant(row.ended_at),
        Bind::Text(&conf),
        row.triggered_by.as_deref().into(),
        row.note.as_deref().into(),
        row.reason.map(|reason| reason.name()).into(),
        Bind::Int(row.retries_used.into()),
        Bind::Int(row.run.0),
    ];
    session.run(statement, &values)?;
    must_have_changed(session, || format!("run {} is not there", row.run))
}

fn put_task(
    session: &Session<'_>,
    statement: &mut Statement,
    task: &TaskRow,
) -> Result<(), Trouble> {
    let followed = task.followed.as_ref().map(serde_json::to_string);
    let followed = followed.transpose()?;
    let map_item = task.map_item.as_ref().map(serde_json::to_string);
    let map_item = map_item.transpose()?;
    let values = [
        Bind::Int(task.run.0),
        Bind::Int(task.task_no.0.into()),
        Bind::Int(task.map_index.0.into()),
        Bind::Text(task.state.name()),
        Bind::Int(task.try_number.into()),
        Bind::Int(task.max_tries.into()),
        Bind::Int(task.epoch.0),
        task.worker.into(),
        Bind::Int(task.losses.into()),
        instant(task.scheduled_at),
        instant(task.queued_at),
        instant(task.started_at),
        instant(task.ended_at),
        instant(task.not_before),
        task.reason.map(|reason| reason.name()).into(),
        task.message.as_deref().into(),
        task.exit_code.map(i64::from).into(),
        followed.as_deref().into(),
        map_item.as_deref().into(),
        Bind::Int(task.clears.into()),
    ];
    session.run(statement, &values)?;
    Ok(())
}

fn put_value(
    session: &Session<'_>,
    statement: &mut Statement,
    value: &ValueRow,
) -> Result<(), Trouble> {
    let text = value.value.to_string();
    let values = [
        Bind::Int(value.run.0),
        Bind::Int(value.task_no.0.into()),
        Bind::Int(value.map_index.0.into()),
        Bind::Text(&value.key),
        Bind::Text(&text),
    ];
    session.run(statement, &values)?;
    Ok(())
}

fn tell(
    session: &Session<'_>,
    statements: &mut PassStatements,
    change: &Change,
) -> Result<(), Trouble> {
    let body = change.body.to_string();
    let values = [
        Bind::Int(change.seq),
        Bind::Int(change.at.0),
        Bind::Int(change.run),
        Bind::Text(&body),
    ];
    session.run(&mut statements.change_insert, &values)?;
    if change.seq % CHANGES_TRIMMED_EVERY == 0 {
        session.run(
            &mut statements.change_trim,
            &[Bind::Int(change.seq - CHANGES_KEPT)],
        )?;
    }
    Ok(())
}

fn patch_dag(
    session: &Session<'_>,
    statement: &mut Statement,
    patch: &DagPatch,
) -> Result<(), Trouble> {
    let values = [
        Bind::Int(patch.dag.0),
        Bind::Int(patch.is_paused.into()),
        instant(patch.schedule_high),
        instant(patch.next_run),
    ];
    session.run(statement, &values)?;
    must_have_changed(session, || format!("DAG {} is not there", patch.dag))
}

fn put_pool(
    session: &Session<'_>,
    statement: &mut Statement,
    pool: &PoolRecord,
) -> Result<(), Trouble> {
    let values = [
        Bind::Text(&pool.name),
        Bind::Int(pool.slots),
        Bind::Text(&pool.description),
        Bind::Int(pool.include_deferred.into()),
        Bind::Int(pool.from_file.into()),
    ];
    session.run(statement, &values)?;
    Ok(())
}

fn put_note(
    session: &Session<'_>,
    statements: &mut PassStatements,
    note: &TaskNote,
) -> Result<(), Trouble> {
    let key = [
        Bind::Int(note.run.0),
        Bind::Int(note.task_no.0.into()),
        Bind::Int(note.map_index.0.into()),
    ];
    if note.note.is_empty() {
        session.run(&mut statements.task_note_delete, &key)?;
    } else {
        let [run, task_no, map_index] = key;
        let values = [run, task_no, map_index, Bind::Text(&note.note)];
        session.run(&mut statements.task_note_put, &values)?;
    }
    Ok(())
}

fn put_backfill(
    session: &Session<'_>,
    statement: &mut Statement,
    row: &BackfillRow,
) -> Result<(), Trouble> {
    let conf = row.conf.to_string();
    let values = [
        Bind::Int(row.backfill.0),
        Bind::Int(row.dag.0),
        Bind::Int(row.from_date.0),
        Bind::Int(row.to_date.0),
        Bind::Int(row.is_backwards.into()),
        Bind::Text(row.reprocess.name()),
        Bind::Int(row.max_active_runs.into()),
        Bind::Text(&conf),
        Bind::Int(row.is_paused.into()),
        instant(row.position),
        Bind::Int(row.created_at.0),
        Bind::Int(row.updated_at.0),
        instant(row.completed_at),
        Bind::Int(row.on_latest_version.into()),
    ];
    session.run(statement, &values)?;
    Ok(())
}

fn put_backfill_date(
    session: &Session<'_>,
    statement: &mut Statement,
    date: &BackfillDate,
) -> Result<(), Trouble> {
    let values = [
        Bind::Int(date.backfill.0),
        Bind::Int(date.tick.0),
        Bind::Int(date.logical_date.0),
        date.run.map(|run| run.0).into(),
        date.skipped.map(|reason| reason.name()).into(),
    ];
    session.run(statement, &values)?;
    Ok(())
}

fn must_have_changed(session: &Session<'_>, otherwise: impl Fn() -> String) -> Result<(), Trouble> {
    match session.n_changed() {
        0 => Err(Trouble::Unreadable(otherwise())),
        _ => Ok(()),
    }
}
