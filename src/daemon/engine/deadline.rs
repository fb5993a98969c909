//! Deadlines: somebody is told when a run is not over in time. The run itself goes on.

use super::Engine;
use super::alert::{event_of, raise};
use super::state::Timer;
use crate::daemon::clock;
use serde_json::json;
use std::cmp::Reverse;
use std::sync::Arc;
use tidemill_model::alert::{AlertOn, Deadline, Since};
use tidemill_model::{RunNo, RunRow, RunState, Ts};
use tidemill_store::{ALERT_KEPT_US, RunFilter};

/// How many of the newest successful runs make an average, and how few are too few.
const AVERAGE_OF: u32 = 10;
const AVERAGE_OF_MIN: usize = 3;

impl Engine {
    /// Sets the timers of a run's deadlines, once for each time that it is queued; forgets them
    /// when it is over.
    pub(super) fn follow_deadlines(&mut self, run_no: RunNo) {
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        if run.row.state.is_terminal() {
            self.deadlines.remove(&run_no);
            return;
        }
        let queued_at = run.row.queued_at;
        if run.dag.deadlines.is_empty() || self.deadlines.get(&run_no) == Some(&queued_at) {
            return;
        }
        self.deadlines.insert(run_no, queued_at);
        let (dag, row) = (Arc::clone(&run.dag), run.row.clone());
        for (place, deadline) in dag.deadlines.iter().enumerate() {
            if let Some(due) = self.due(&dag.id, &row, deadline) {
                let timer = Timer::Deadline(run_no, queued_at, place);
                self.timers.push(Reverse((due, timer)));
            }
        }
    }

    /// When a run should be over; `None` where nothing says so.
    fn due(&mut self, dag_id: &str, row: &RunRow, deadline: &Deadline) -> Option<Ts> {
        let since = match deadline.since {
            Since::QueuedAt => due_at(row),
            Since::LogicalDate => row.logical_date?,
            Since::AverageRuntime => due_at(row).after(self.average_runtime(dag_id)?),
        };
        Some(since.after(deadline.interval))
    }

    fn average_runtime(&mut self, dag_id: &str) -> Option<std::time::Duration> {
        let filter = RunFilter {
            dag_id: Some(dag_id.to_string()),
            states: vec![RunState::Success],
            limit: AVERAGE_OF,
            ..RunFilter::default()
        };
        let pages = Arc::clone(&self.pages);
        let found = self.insist("Reading earlier runs", || pages.runs(&filter));
        let found = found.inspect_err(
            |err| tracing::error!(%err, "Cannot read how long earlier runs of {dag_id} took"),
        );
        let spans: Vec<i64> = found
            .ok()?
            .runs
            .iter()
            .filter_map(|run| Some(run.row.ended_at?.0 - run.row.started_at?.0))
            .collect();
        if spans.len() < AVERAGE_OF_MIN {
            return None;
        }
        let average = spans.iter().sum::<i64>() / spans.len() as i64;
        Some(std::time::Duration::from_micros(
            u64::try_from(average).unwrap_or(0),
        ))
    }

    /// A deadline has come: whoever waits for the run is told that it is not over.
    pub(super) fn deadline_has_come(
        &mut self,
        run_no: RunNo,
        queued_at: Ts,
        place: usize,
        due: Ts,
    ) {
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let is_late = !run.row.state.is_terminal() && run.row.queued_at == queued_at;
        let Some(deadline) = run.dag.deadlines.get(place).filter(|_| is_late) else {
            return;
        };
        let now = clock::now();
        // What was told so long ago is forgotten: it must not be told again after each restart.
        if now.0.saturating_sub(due.0) >= ALERT_KEPT_US {
            return;
        }
        let key = format!("{run_no}/deadline.{place}.{}", queued_at.0);
        let event = || {
            let mut event = event_of(run, AlertOn::Deadline);
            event["state"] = json!(run.row.state);
            event["message"] = json!(format!("it should have been over at {due}"));
            event["deadline"] = json!(due);
            event
        };
        let mut rows = Vec::new();
        raise(
            &deadline.alerts,
            AlertOn::Deadline,
            &key,
            now,
            event,
            &mut rows,
        );
        self.draft.rows.alerts.extend(rows);
    }
}

/// From when on a run could go: when it was queued, or later where it was made for later.
fn due_at(row: &RunRow) -> Ts {
    match row.retries_used {
        0 => row.queued_at.max(row.run_after),
        _ => row.queued_at, // the wait for a next try is part of its time
    }
}
