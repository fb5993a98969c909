//! A pass as columns: one array for each, so that all rows travel in one message.

use crate::text::{maybe_stored, stored};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::{Attempt, MapIndex, RunNo, TaskNo, Ts};
use tidemill_store::memory::{CHANGES_KEPT, CHANGES_TRIMMED_EVERY};
use tidemill_store::{
    AlertRow, BackfillDate, BackfillRow, Change, DagPatch, Dispatch, Kill, Pass, PoolRecord,
    RunRow, TaskNote, TaskRow, ValueRow,
};

pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// The rows of a pass, each once and in the order of their keys: a statement may not touch a row
/// twice, and those who lock rows in one order never wait for each other in a circle.
pub(crate) struct Rows<'p> {
    new_runs: Vec<Cow<'p, RunRow>>,
    runs: Vec<&'p RunRow>,
    tasks: Vec<&'p TaskRow>,
    tries: Vec<&'p TaskRow>,
    cleared: BTreeSet<(i64, i32, i32)>,
    removed: BTreeSet<(i64, i32, i32)>,
    values: Vec<&'p ValueRow>,
    changes: Vec<&'p Change>,
    forget_to: Option<i64>,
    dags: Vec<DagPatch>,
    dropped_pools: &'p [String],
    pools: Vec<&'p PoolRecord>,
    emptied_notes: Vec<&'p TaskNote>,
    notes: Vec<&'p TaskNote>,
    dispatches: &'p [Dispatch],
    kills: &'p [Kill],
    /// Attempts that leave `dispatch`: their claim or their end is applied.
    taken: BTreeSet<Attempt>,
    settled: &'p [Attempt],
    backfills: Vec<&'p BackfillRow>,
    backfill_dates: Vec<&'p BackfillDate>,
    alerts: &'p [AlertRow],
    /// Runs that must be there already.
    touched: Vec<i64>,
}

impl<'p> Rows<'p> {
    pub(crate) fn of(pass: &'p Pass) -> Rows<'p> {
        let mut changed: BTreeMap<RunNo, &RunRow> =
            pass.runs.iter().map(|row| (row.run, row)).collect();
        let new_runs: Vec<_> = pass
            .new_runs
            .iter()
            .map(|row| match changed.remove(&row.run) {
                Some(change) => Cow::Owned(with_identity_of(row, change)),
                None => Cow::Borrowed(row),
            })
            .collect();
        let tasks: BTreeMap<_, _> = pass.tasks.iter().map(|row| (task_key(row), row)).collect();
        let tries: BTreeMap<_, _> = pass
            .tries
            .iter()
            .map(|row| {
                let task = &row.task;
                ((task_key(task), task.try_number, task.epoch), task)
            })
            .collect();
        let values: BTreeMap<_, _> = pass
            .values
            .iter()
            .map(|row| ((value_task(row), row.key.as_str()), row))
            .collect();
        let pools: BTreeMap<_, _> = pass.pools.iter().map(|pool| (&pool.name, pool)).collect();
        let notes: BTreeMap<_, _> = pass
            .notes
            .iter()
            .map(|row| ((row.run.0, row.task_no.0, row.map_index.0), row))
            .collect();
        let (emptied_notes, notes): (Vec<_>, Vec<_>) =
            notes.into_values().partition(|row| row.note.is_empty());
        let backfills: BTreeMap<_, _> = pass
            .backfills
            .iter()
            .map(|row| (row.backfill, row))
            .collect();
        let dates: BTreeMap<_, _> = pass
            .backfill_dates
            .iter()
            .map(|date| ((date.backfill, date.tick), date))
            .collect();
        let mut touched: BTreeSet<i64> = tasks.keys().map(|key| key.0).collect();
        touched.extend(tries.keys().map(|(key, ..)| key.0));
        touched.extend(values.keys().map(|(key, _)| key.0));
        touched.extend(notes.iter().map(|row| row.run.0));
        touched.extend(dates.values().filter_map(|date| date.run).map(|run| run.0));
        for row in &new_runs {
            touched.remove(&row.run.0);
        }
        Rows {
            new_runs,
            runs: changed.into_values().collect(),
            tasks: tasks.into_values().collect(),
            tries: tries.into_values().collect(),
            cleared: keys(&pass.cleared_values),
            removed: keys(&pass.removed_tasks),
            values: values.into_values().collect(),
            changes: pass.changes.iter().collect(),
            forget_to: forget_to(&pass.changes),
            dags: last_patches(&pass.dags),
            dropped_pools: &pass.dropped_pools,
            pools: pools.into_values().collect(),
            emptied_notes,
            notes,
            dispatches: &pass.dispatches,
            kills: &pass.kills,
            taken: pass.claimed.iter().chain(&pass.settled).copied().collect(),
            settled: &pass.settled,
            backfills: backfills.into_values().collect(),
            backfill_dates: dates.into_values().collect(),
            alerts: &pass.alerts,
            touched: touched.into_iter().collect(),
        }
    }

    /// Binds everything after the shard and the term, in the order of the statement.
    pub(crate) fn bind<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
        let statement = statement.bind(self.touched.clone());
        let statement = bind_new_runs(statement, &self.new_runs);
        let statement = statement.bind(self.new_runs.iter().map(|row| row.run.0).max());
        let statement = bind_runs(statement, &self.runs);
        let statement = bind_tasks(statement, &self.tasks);
        let statement = bind_tasks(statement, &self.tries);
        let statement = statement
            .bind(column(&self.cleared, |key| key.0))
            .bind(column(&self.cleared, |key| key.1))
            .bind(column(&self.cleared, |key| key.2));
        let statement = bind_values(statement, &self.values);
        let statement = statement
            .bind(column(&self.changes, |change| change.seq))
            .bind(column(&self.changes, |change| change.at.0))
            .bind(column(&self.changes, |change| change.run))
            .bind(column(&self.changes, |change| change.body.to_string()))
            .bind(self.forget_to);
        let statement = statement
            .bind(column(&self.dags, |patch| patch.dag.0))
            .bind(column(&self.dags, |patch| patch.is_paused))
            .bind(column(&self.dags, |patch| micros(patch.schedule_high)))
            .bind(column(&self.dags, |patch| micros(patch.next_run)));
        let statement = statement.bind(column(self.dropped_pools, |name| stored(name)));
        let statement = bind_pools(statement, &self.pools);
        let statement = bind_note_keys(statement, &self.emptied_notes);
        let statement = bind_note_keys(statement, &self.notes)
            .bind(column(&self.notes, |row| stored(&row.note)));
        let statement = bind_dispatches(statement, self.dispatches);
        let killed = column(self.kills, |kill| kill.attempt);
        let statement = bind_attempts(statement, &killed)
            .bind(column(self.kills, |kill| kill.worker))
            .bind(column(self.kills, |kill| kill.reason.name()));
        let taken: Vec<Attempt> = self.taken.iter().copied().collect();
        let statement = bind_attempts(bind_attempts(statement, &taken), self.settled);
        let statement = statement
            .bind(column(&self.new_runs, |row| row.retries_used))
            .bind(column(&self.runs, |row| row.retries_used));
        let statement = bind_flow(bind_flow(statement, &self.tasks), &self.tries);
        let statement = statement
            .bind(column(&self.removed, |key| key.0))
            .bind(column(&self.removed, |key| key.1))
            .bind(column(&self.removed, |key| key.2));
        let statement = bind_backfills(statement, &self.backfills, &self.backfill_dates);
        statement.bind(column(self.dispatches, |row| row.sealed.clone()))
    }

    /// Of each backfill: do its dates that run again go on by the current version?
    pub(crate) fn on_latest_version(&self) -> Vec<bool> {
        column(&self.backfills, |row| row.on_latest_version)
    }

    /// Binds the alerts, after everything else.
    pub(crate) fn bind_alerts<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
        statement
            .bind(column(self.alerts, |alert| stored(&alert.key)))
            .bind(column(self.alerts, |alert| alert.at.0))
            .bind(column(self.alerts, |alert| alert.body.to_string()))
    }
}

/// One column of the rows.
pub(crate) fn column<R, T>(rows: impl IntoIterator<Item = R>, of: impl Fn(R) -> T) -> Vec<T> {
    rows.into_iter().map(of).collect()
}

fn micros(at: Option<Ts>) -> Option<i64> {
    at.map(|at| at.0)
}

fn bind_new_runs<'q>(statement: Statement<'q>, rows: &[Cow<'_, RunRow>]) -> Statement<'q> {
    statement
        .bind(column(rows, |row| row.run.0))
        .bind(column(rows, |row| row.dag.0))
        .bind(column(rows, |row| stored(&row.run_id)))
        .bind(column(rows, |row| row.run_type.name()))
        .bind(column(rows, |row| row.state.name()))
        .bind(column(rows, |row| row.version.0))
        .bind(column(rows, |row| maybe_stored(&row.cause)))
        .bind(column(rows, |row| micros(row.logical_date)))
        .bind(column(rows, |row| micros(row.data_interval_start)))
        .bind(column(rows, |row| micros(row.data_interval_end)))
        .bind(column(rows, |row| row.run_after.0))
        .bind(column(rows, |row| row.queued_at.0))
        .bind(column(rows, |row| micros(row.started_at)))
        .bind(column(rows, |row| micros(row.ended_at)))
        .bind(column(rows, |row| row.conf.to_string()))
        .bind(column(rows, |row| maybe_stored(&row.triggered_by)))
        .bind(column(rows, |row| maybe_stored(&row.note)))
        .bind(column(rows, |row| row.reason.map(|reason| reason.name())))
}

fn bind_runs<'q>(statement: Statement<'q>, rows: &[&RunRow]) -> Statement<'q> {
    statement
        .bind(column(rows, |row| row.run.0))
        .bind(column(rows, |row| row.state.name()))
        .bind(column(rows, |row| row.version.0))
        .bind(column(rows, |row| micros(row.data_interval_start)))
        .bind(column(rows, |row| micros(row.data_interval_end)))
        .bind(column(rows, |row| row.run_after.0))
        .bind(column(rows, |row| row.queued_at.0))
        .bind(column(rows, |row| micros(row.started_at)))
        .bind(column(rows, |row| micros(row.ended_at)))
        .bind(column(rows, |row| row.conf.to_string()))
        .bind(column(rows, |row| maybe_stored(&row.triggered_by)))
        .bind(column(rows, |row| maybe_stored(&row.note)))
        .bind(column(rows, |row| row.reason.map(|reason| reason.name())))
}

fn bind_tasks<'q>(statement: Statement<'q>, rows: &[&TaskRow]) -> Statement<'q> {
    statement
        .bind(column(rows, |row| row.run.0))
        .bind(column(rows, |row| row.task_no.0))
        .bind(column(rows, |row| row.map_index.0))
        .bind(column(rows, |row| row.state.name()))
        .bind(column(rows, |row| row.try_number))
        .bind(column(rows, |row| row.max_tries))
        .bind(column(rows, |row| row.epoch.0))
        .bind(column(rows, |row| row.worker))
        .bind(column(rows, |row| row.losses))
        .bind(column(rows, |row| micros(row.scheduled_at)))
        .bind(column(rows, |row| micros(row.queued_at)))
        .bind(column(rows, |row| micros(row.started_at)))
        .bind(column(rows, |row| micros(row.ended_at)))
        .bind(column(rows, |row| micros(row.not_before)))
        .bind(column(rows, |row| row.reason.map(|reason| reason.name())))
        .bind(column(rows, |row| maybe_stored(&row.message)))
        .bind(column(rows, |row| row.exit_code))
}

fn bind_values<'q>(statement: Statement<'q>, rows: &[&ValueRow]) -> Statement<'q> {
    statement
        .bind(column(rows, |row| row.run.0))
        .bind(column(rows, |row| row.task_no.0))
        .bind(column(rows, |row| row.map_index.0))
        .bind(column(rows, |row| stored(&row.key)))
        .bind(column(rows, |row| row.value.to_string()))
}

fn bind_pools<'q>(statement: Statement<'q>, rows: &[&PoolRecord]) -> Statement<'q> {
    statement
        .bind(column(rows, |pool| stored(&pool.name)))
        .bind(column(rows, |pool| pool.slots))
        .bind(column(rows, |pool| stored(&pool.description)))
        .bind(column(rows, |pool| pool.include_deferred))
        .bind(column(rows, |pool| pool.from_file))
}

fn bind_dispatches<'q>(statement: Statement<'q>, rows: &[Dispatch]) -> Statement<'q> {
    let attempts = column(rows, |row| row.attempt);
    bind_attempts(statement, &attempts)
        .bind(column(rows, |row| stored(&row.queue)))
        .bind(column(rows, |row| row.priority))
        .bind(column(rows, |row| row.version.0))
        .bind(column(rows, |row| row.try_number))
}

pub(crate) fn bind_attempts<'q>(statement: Statement<'q>, attempts: &[Attempt]) -> Statement<'q> {
    statement
        .bind(column(attempts, |attempt| attempt.run.0))
        .bind(column(attempts, |attempt| attempt.task_no.0))
        .bind(column(attempts, |attempt| attempt.map_index.0))
        .bind(column(attempts, |attempt| attempt.epoch.0))
}

fn bind_note_keys<'q>(statement: Statement<'q>, rows: &[&TaskNote]) -> Statement<'q> {
    statement
        .bind(column(rows, |row| row.run.0))
        .bind(column(rows, |row| row.task_no.0))
        .bind(column(rows, |row| row.map_index.0))
}

/// What a branch chose and a mapped instance is about, as JSON; it was read from JSON or made by
/// this program, so that it has a form.
fn bind_flow<'q>(statement: Statement<'q>, rows: &[&TaskRow]) -> Statement<'q> {
    let json = |value: Result<String, serde_json::Error>| value.ok();
    statement
        .bind(column(rows, |row| {
            let followed = row.followed.as_ref();
            followed.and_then(|followed| json(serde_json::to_string(followed)))
        }))
        .bind(column(rows, |row| {
            let item = row.map_item.as_ref();
            item.and_then(|item| json(serde_json::to_string(item)))
        }))
        .bind(column(rows, |row| row.clears))
}

fn keys(rows: &[(RunNo, TaskNo, MapIndex)]) -> BTreeSet<(i64, i32, i32)> {
    let key = |row: &(RunNo, TaskNo, MapIndex)| (row.0.0, row.1.0, row.2.0);
    rows.iter().map(key).collect()
}

fn bind_backfills<'q>(
    statement: Statement<'q>,
    rows: &[&BackfillRow],
    dates: &[&BackfillDate],
) -> Statement<'q> {
    statement
        .bind(column(rows, |row| row.backfill.0))
        .bind(column(rows, |row| row.dag.0))
        .bind(column(rows, |row| row.from_date.0))
        .bind(column(rows, |row| row.to_date.0))
        .bind(column(rows, |row| row.is_backwards))
        .bind(column(rows, |row| row.reprocess.name()))
        .bind(column(rows, |row| i64::from(row.max_active_runs)))
        .bind(column(rows, |row| row.conf.to_string()))
        .bind(column(rows, |row| row.is_paused))
        .bind(column(rows, |row| micros(row.position)))
        .bind(column(rows, |row| row.created_at.0))
        .bind(column(rows, |row| row.updated_at.0))
        .bind(column(rows, |row| micros(row.completed_at)))
        .bind(column(dates, |date| date.backfill.0))
        .bind(column(dates, |date| date.tick.0))
        .bind(column(dates, |date| date.logical_date.0))
        .bind(column(dates, |date| date.run.map(|run| run.0)))
        .bind(column(dates, |date| {
            date.skipped.map(|reason| reason.name())
        }))
}

fn task_key(row: &TaskRow) -> (i64, i32, i32) {
    (row.run.0, row.task_no.0, row.map_index.0)
}

fn value_task(row: &ValueRow) -> (i64, i32, i32) {
    (row.run.0, row.task_no.0, row.map_index.0)
}

/// A new run that the same pass changes already.
fn with_identity_of(new: &RunRow, change: &RunRow) -> RunRow {
    RunRow {
        dag: new.dag,
        run_id: new.run_id.clone(),
        run_type: new.run_type,
        cause: new.cause.clone(),
        logical_date: new.logical_date,
        ..change.clone()
    }
}

/// Changes up to this one are old, if this pass is one of those that look.
fn forget_to(changes: &[Change]) -> Option<i64> {
    let seqs = changes.iter().map(|change| change.seq);
    seqs.filter(|seq| seq % CHANGES_TRIMMED_EVERY == 0)
        .max()
        .map(|seq| seq - CHANGES_KEPT)
}

fn last_patches(patches: &[DagPatch]) -> Vec<DagPatch> {
    let mut last: BTreeMap<i64, DagPatch> = BTreeMap::new();
    for patch in patches {
        let high = last.get(&patch.dag.0).and_then(|older| older.schedule_high);
        let patch = DagPatch {
            schedule_high: patch.schedule_high.max(high),
            ..patch.clone()
        };
        last.insert(patch.dag.0, patch);
    }
    last.into_values().collect()
}
