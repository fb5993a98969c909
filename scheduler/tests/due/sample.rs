//! A DAG that is only its schedule.

use crate::support::Sketch;
use tidemill_model::cron::Cron;
use tidemill_model::schedule::{Schedule, Ticks};
use tidemill_model::{Dag, RunType, Ts};

/// The instant so many hours after the epoch.
pub fn hour(n: i64) -> Ts {
    Ts(n * 3_600_000_000)
}

pub fn cron(expression: &str) -> Ticks {
    Ticks::Cron(vec![Cron::parse(expression).unwrap()])
}

pub fn dag(ticks: Ticks) -> Dag {
    Dag {
        id: "etl".to_string(),
        schedule: Schedule {
            ticks,
            ..Schedule::MANUAL
        },
        allowed_run_types: RunType::ALL.to_vec(),
        max_active_runs: 16,
        ..Sketch::default().build()
    }
}
