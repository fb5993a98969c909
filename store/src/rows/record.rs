//! The records of DAGs, runs, tasks and backfills.

use super::{Columns, Unreadable};
use crate::*;
use tidemill_model::{
    BackfillNo, DagNo, LastSuccess, RunNo, RunState, TaskNo, TaskState, VersionNo,
};

/// A DAG.
pub fn dag(columns: &mut dyn Columns) -> Result<DagRecord, Unreadable> {
    Ok(DagRecord {
        dag: columns.take()?,
        dag_id: columns.take()?,
        file: columns.take()?,
        is_paused: columns.take()?,
        is_stale: columns.take()?,
        version: columns.take()?,
        version_number: columns.take()?,
        schedule_high: columns.maybe()?,
        next_run: columns.maybe()?,
        updated_at: columns.take()?,
    })
}

/// A run.
pub fn run(columns: &mut dyn Columns) -> Result<RunRow, Unreadable> {
    Ok(RunRow {
        run: columns.take()?,
        dag: columns.take()?,
        run_id: columns.take()?,
        run_type: columns.take()?,
        state: columns.take()?,
        version: columns.take()?,
        cause: columns.maybe()?,
        logical_date: columns.maybe()?,
        data_interval_start: columns.maybe()?,
        data_interval_end: columns.maybe()?,
        run_after: columns.take()?,
        queued_at: columns.take()?,
        started_at: columns.maybe()?,
        ended_at: columns.maybe()?,
        conf: columns.json()?,
        triggered_by: columns.maybe()?,
        note: columns.maybe()?,
        reason: columns.maybe()?,
        retries_used: columns.take()?,
    })
}

/// A run with the names of its DAG and version.
pub fn run_record(columns: &mut dyn Columns) -> Result<RunRecord, Unreadable> {
    let row = run(columns)?;
    Ok(RunRecord {
        dag_id: columns.take()?,
        version_number: columns.take()?,
        row,
    })
}

/// A task instance.
pub fn task(columns: &mut dyn Columns) -> Result<TaskRow, Unreadable> {
    Ok(TaskRow {
        run: columns.take()?,
        task_no: columns.take()?,
        map_index: columns.take()?,
        state: columns.take()?,
        try_number: columns.take()?,
        max_tries: columns.take()?,
        epoch: columns.take()?,
        worker: columns.maybe()?,
        losses: columns.take()?,
        scheduled_at: columns.maybe()?,
        queued_at: columns.maybe()?,
        started_at: columns.maybe()?,
        ended_at: columns.maybe()?,
        not_before: columns.maybe()?,
        reason: columns.maybe()?,
        message: columns.maybe()?,
        exit_code: columns.maybe()?,
        followed: columns.maybe_json()?,
        map_item: columns.maybe_json()?,
        clears: columns.take()?,
    })
}

/// A task and its state.
pub fn task_state(columns: &mut dyn Columns) -> Result<(TaskNo, TaskState), Unreadable> {
    Ok((columns.take()?, columns.take()?))
}

/// An output of a task.
pub fn value(columns: &mut dyn Columns) -> Result<ValueRow, Unreadable> {
    Ok(ValueRow {
        run: columns.take()?,
        task_no: columns.take()?,
        map_index: columns.take()?,
        key: columns.take()?,
        value: columns.json()?,
    })
}

/// An instance with one of its values, or with none.
pub fn instance_value(columns: &mut dyn Columns) -> Result<InstanceValue, Unreadable> {
    Ok(InstanceValue {
        map_index: columns.take()?,
        state: columns.take()?,
        value: columns.maybe()?.zip(columns.maybe_json()?),
    })
}

/// What somebody wrote about a task.
pub fn task_note(columns: &mut dyn Columns) -> Result<TaskNote, Unreadable> {
    Ok(TaskNote {
        run: columns.take()?,
        task_no: columns.take()?,
        map_index: columns.take()?,
        note: columns.take()?,
    })
}

/// A pool.
pub fn pool(columns: &mut dyn Columns) -> Result<PoolRecord, Unreadable> {
    Ok(PoolRecord {
        name: columns.take()?,
        slots: columns.take()?,
        description: columns.take()?,
        include_deferred: columns.take()?,
        from_file: columns.take()?,
    })
}

/// A backfill.
pub fn backfill(columns: &mut dyn Columns) -> Result<BackfillRow, Unreadable> {
    Ok(BackfillRow {
        backfill: columns.take()?,
        dag: columns.take()?,
        from_date: columns.take()?,
        to_date: columns.take()?,
        is_backwards: columns.take()?,
        reprocess: columns.take()?,
        max_active_runs: columns.count()?,
        conf: columns.json()?,
        is_paused: columns.take()?,
        position: columns.maybe()?,
        created_at: columns.take()?,
        updated_at: columns.take()?,
        completed_at: columns.maybe()?,
        on_latest_version: columns.take()?,
    })
}

/// A backfill with the name of its DAG.
pub fn backfill_record(columns: &mut dyn Columns) -> Result<BackfillRecord, Unreadable> {
    let row = backfill(columns)?;
    Ok(BackfillRecord {
        dag_id: columns.take()?,
        row,
    })
}

/// A date of a backfill and what became of it.
pub fn backfill_date(columns: &mut dyn Columns) -> Result<BackfillDate, Unreadable> {
    Ok(BackfillDate {
        backfill: columns.take()?,
        tick: columns.take()?,
        logical_date: columns.take()?,
        run: columns.maybe()?,
        skipped: columns.maybe()?,
    })
}

/// A run of a backfill.
pub fn backfill_run(columns: &mut dyn Columns) -> Result<(BackfillNo, RunNo), Unreadable> {
    Ok((columns.take()?, columns.take()?))
}

/// Each backfill with its runs.
pub fn with_runs(
    backfills: Vec<BackfillRow>,
    runs: Vec<(BackfillNo, RunNo)>,
) -> Vec<(BackfillRow, Vec<RunNo>)> {
    let of = |row: &BackfillRow| {
        let own = runs
            .iter()
            .filter(|(backfill, _)| *backfill == row.backfill);
        own.map(|(_, run)| *run).collect()
    };
    backfills
        .into_iter()
        .map(|row| {
            let runs = of(&row);
            (row, runs)
        })
        .collect()
}

/// A version without its files: these are rows of their own.
pub fn version(columns: &mut dyn Columns) -> Result<VersionRecord, Unreadable> {
    Ok(VersionRecord {
        version: columns.take()?,
        dag: columns.take()?,
        number: columns.take()?,
        hash: columns.take()?,
        file: columns.take()?,
        source: columns.take()?,
        files: Vec::new(),
        created_at: columns.take()?,
    })
}

/// A file that a version has pinned.
pub fn version_file(columns: &mut dyn Columns) -> Result<(VersionNo, PinnedFile), Unreadable> {
    let version = columns.take()?;
    Ok((
        version,
        PinnedFile {
            path: columns.take()?,
            mode: columns.count()?,
            bytes: columns.take()?,
        },
    ))
}

/// A run that was looked at.
pub fn looked_at(columns: &mut dyn Columns) -> Result<LookedAt, Unreadable> {
    Ok(LookedAt {
        run: columns.take()?,
        queued_at: columns.take()?,
        is_old: columns.take()?,
    })
}

/// The name of a task.
pub fn task_name(columns: &mut dyn Columns) -> Result<(TaskNo, String), Unreadable> {
    Ok((columns.take()?, columns.take()?))
}

/// The name of a task of a DAG.
pub fn task_name_of_dag(columns: &mut dyn Columns) -> Result<(DagNo, TaskNo, String), Unreadable> {
    Ok((columns.take()?, columns.take()?, columns.take()?))
}

/// A change that pages hear of.
pub fn change(columns: &mut dyn Columns) -> Result<Change, Unreadable> {
    Ok(Change {
        seq: columns.take()?,
        at: columns.take()?,
        run: columns.take()?,
        body: columns.json()?,
    })
}

/// What is wrong with a file.
pub fn import_errors(columns: &mut dyn Columns) -> Result<ImportErrors, Unreadable> {
    Ok(ImportErrors {
        file: columns.take()?,
        errors: columns.json()?,
        at: columns.take()?,
    })
}

/// How many tasks are in a state.
pub fn task_count(columns: &mut dyn Columns) -> Result<(TaskState, i64), Unreadable> {
    Ok((columns.take()?, columns.take()?))
}

/// How many runs of a DAG are in a state.
pub fn run_count(columns: &mut dyn Columns) -> Result<(DagNo, RunState, i64), Unreadable> {
    Ok((columns.take()?, columns.take()?, columns.take()?))
}

/// A version of a DAG.
pub fn version_of_dag(columns: &mut dyn Columns) -> Result<(DagNo, VersionNo), Unreadable> {
    Ok((columns.take()?, columns.take()?))
}

/// What is asked of a run that has succeeded.
pub fn last_success(columns: &mut dyn Columns) -> Result<LastSuccess, Unreadable> {
    Ok(LastSuccess {
        data_interval_start: columns.maybe()?,
        data_interval_end: columns.maybe()?,
        started_at: columns.maybe()?,
        ended_at: columns.maybe()?,
    })
}
