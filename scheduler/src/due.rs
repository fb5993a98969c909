//! Which runs a schedule owes.

use tidemill_model::schedule::Schedule;
use tidemill_model::{Dag, Ts};

/// What a schedule owes at some instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Fire times that need a run now, oldest first; at most the number asked for.
    pub fires: Vec<Ts>,
    /// The new high mark: no fire time up to it will be asked for again.
    pub high: Ts,
    /// The next fire time after `high`.
    pub next: Option<Ts>,
}

/// What `dag` owes at `now`, given that everything up to `high` is settled. A DAG that was never
/// seen (`high` is `None`) owes nothing before `now`, unless it catches up from its start date.
///
/// With `catchup` every missed tick is owed, oldest first and at most `limit` at once; without, only
/// the latest. The work does not depend on how many ticks were missed.
pub fn due(dag: &Dag, high: Option<Ts>, now: Ts, limit: usize) -> Due {
    let first = match (dag.catchup, dag.start_date) {
        (true, Some(start)) => Ts(start.0 - 1),
        _ => now,
    };
    if let (Schedule::Once(None), None) = (&dag.schedule, high) {
        return Due {
            fires: vec![now],
            high: now,
            next: None,
        };
    }
    let is_new = high.is_none();
    let high = high
        .unwrap_or(first)
        .max(Ts(dag.start_date.map_or(i64::MIN, |start| start.0 - 1)));
    let fires = if dag.catchup {
        missed(dag, high, now, limit)
    } else if is_new {
        Vec::new()
    } else {
        latest(dag, high, now).into_iter().collect()
    };
    let high = fires.last().copied().unwrap_or(high);
    let next = dag
        .schedule
        .next_after(high)
        .filter(|next| dag.end_date.is_none_or(|end| *next <= end));
    Due { fires, high, next }
}

fn missed(dag: &Dag, high: Ts, now: Ts, limit: usize) -> Vec<Ts> {
    let mut fires = Vec::new();
    let mut at = high;
    while fires.len() < limit {
        match dag.schedule.next_after(at) {
            Some(next) if next <= now && dag.end_date.is_none_or(|end| next <= end) => {
                fires.push(next);
                at = next;
            }
            _ => break,
        }
    }
    fires
}

fn latest(dag: &Dag, high: Ts, now: Ts) -> Option<Ts> {
    let until = dag.end_date.map_or(now, |end| end.min(now));
    dag.schedule
        .previous_before(Ts(until.0 + 1))
        .filter(|fire| *fire > high)
}
