//! A DAG that is only its schedule.

use tidemill_model::cron::Cron;
use tidemill_model::schedule::{Schedule, Ticks};
use tidemill_model::{Dag, Graph, RunType, Ts};

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
        display_name: None,
        description: None,
        doc_md: None,
        owner: String::new(),
        tags: Vec::new(),
        schedule: Schedule {
            ticks,
            ..Schedule::MANUAL
        },
        schedule_text: String::new(),
        timezone: "UTC".to_string(),
        start_date: None,
        end_date: None,
        catchup: false,
        is_paused_upon_creation: false,
        allowed_run_types: RunType::ALL.to_vec(),
        max_active_runs: 16,
        max_active_tasks: 16,
        concurrency: None,
        dagrun_timeout: None,
        fail_fast: false,
        params: Vec::new(),
        groups: Vec::new(),
        scopes: tidemill_model::scope::Scopes::default(),
        tasks: Vec::new(),
        graph: Graph::new(0, Vec::new()).unwrap(),
    }
}
