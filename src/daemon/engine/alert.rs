//! What a pass has to tell people. The rows are written with the pass; sending is another's.

use super::Engine;
use super::pass::PassDraft;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tidemill_model::alert::{Alert, AlertOn};
use tidemill_model::{Reason, RunNo, RunState, TaskIndex, TaskRow, TaskState, Ts};
use tidemill_scheduler::Run;
use tidemill_store::AlertRow;

/// An event that is older has been told: its row is only written once more.
const FRESH_US: i64 = 3600 * 1_000_000;

impl Engine {
    /// Rows for every alert that the pass being made calls for.
    pub(super) fn raise_alerts(&self, draft: &mut PassDraft, runs: &BTreeSet<RunNo>, now: Ts) {
        let mut rows = Vec::new();
        for (run_no, places) in draft.touched() {
            let Some(run) = self.runs.get(run_no) else {
                continue;
            };
            for at in places {
                of_task(run, *at, now, &mut rows);
            }
        }
        for run_no in runs {
            if let Some(run) = self.runs.get(run_no) {
                of_run(run, now, &mut rows);
            }
        }
        draft.rows.alerts.extend(rows);
    }
}

fn is_fresh(at: Option<Ts>, now: Ts) -> bool {
    at.is_some_and(|at| now.0.saturating_sub(at.0) < FRESH_US)
}

fn of_task(run: &Run, at: TaskIndex, now: Ts, rows: &mut Vec<AlertRow>) {
    let task = run.task(at);
    if task.alerts.is_empty() || run.is_expanded(at) {
        return;
    }
    let row = &run.tasks[at.at()];
    let (on, since) = match row.state {
        TaskState::Running => (AlertOn::Execute, row.started_at),
        TaskState::Success => (AlertOn::Success, row.ended_at),
        TaskState::Failed => (AlertOn::Failure, row.ended_at),
        TaskState::UpForRetry => (AlertOn::Retry, row.ended_at),
        // One that others have skipped has nothing to say.
        TaskState::Skipped if row.reason == Some(Reason::SkippedItself) => {
            (AlertOn::Skipped, row.ended_at)
        }
        _ => return,
    };
    if !is_fresh(since, now) {
        return;
    }
    let key = format!(
        "{}/{}.{}.{}",
        run.row.run, row.task_no, row.map_index, row.epoch
    );
    let event = || {
        let mut event = event_of(run, on);
        event["state"] = json!(row.state);
        tell_task(&mut event, &task.id, row);
        event
    };
    raise(&task.alerts, on, &key, now, event, rows);
}

fn of_run(run: &Run, now: Ts, rows: &mut Vec<AlertRow>) {
    let on = match run.row.state {
        RunState::Success => AlertOn::Success,
        RunState::Failed => AlertOn::Failure,
        RunState::Queued | RunState::Running => return,
    };
    if run.dag.alerts.is_empty() || !is_fresh(run.row.ended_at, now) {
        return;
    }
    let ended = run.row.ended_at.unwrap_or(now).0;
    let key = format!("{}/run.{ended}", run.row.run);
    let event = || {
        let mut event = event_of(run, on);
        event["state"] = json!(run.row.state);
        event["reason"] = json!(run.row.reason);
        let failed = (0..run.tasks.len()).find(|at| run.tasks[*at].state == TaskState::Failed);
        if let Some(at) = failed {
            let row = &run.tasks[at];
            let task_id = &run.task(TaskIndex(at as u32)).id;
            event["message"] = json!(match &row.message {
                Some(message) => format!("task {task_id}: {message}"),
                None => format!("task {task_id} failed"),
            });
        }
        event
    };
    raise(&run.dag.alerts, on, &key, now, event, rows);
}

pub(super) fn raise(
    alerts: &[Alert],
    on: AlertOn,
    key: &str,
    now: Ts,
    event: impl Fn() -> Value,
    rows: &mut Vec<AlertRow>,
) {
    for (place, alert) in alerts
        .iter()
        .enumerate()
        .filter(|(_, alert)| alert.on == on)
    {
        rows.push(AlertRow {
            key: format!("{key}/{}.{place}", on.name()),
            at: now,
            body: json!({"alert": alert, "event": event()}),
        });
    }
}

/// What templates and receivers are told of the run.
pub(super) fn event_of(run: &Run, on: AlertOn) -> Value {
    let row = &run.row;
    let conf = row.conf.as_object().cloned().unwrap_or_default();
    let defaults = run.dag.params.iter();
    let mut params: serde_json::Map<String, Value> = defaults
        .map(|param| (param.name.clone(), param.default.clone()))
        .collect();
    params.extend(conf.clone());
    json!({
        "event": on.name(),
        "dag_id": run.dag.id,
        "timezone": run.dag.timezone,
        "run_id": row.run_id,
        "run_type": row.run_type,
        "version": row.version.0,
        "logical_date": row.logical_date,
        "data_interval_start": row.data_interval_start,
        "data_interval_end": row.data_interval_end,
        "run_after": row.run_after,
        "run_start_date": row.started_at,
        "params": params,
        "conf": conf,
        "start_date": row.started_at,
        "end_date": row.ended_at,
    })
}

fn tell_task(event: &mut Value, task_id: &str, row: &TaskRow) {
    event["task_id"] = json!(task_id);
    event["map_index"] = json!(row.map_index.0);
    event["try_number"] = json!(row.try_number);
    event["max_tries"] = json!(row.max_tries);
    event["reason"] = json!(row.reason);
    event["message"] = json!(row.message);
    event["exit_code"] = json!(row.exit_code);
    event["start_date"] = json!(row.started_at);
    event["end_date"] = json!(row.ended_at);
}
