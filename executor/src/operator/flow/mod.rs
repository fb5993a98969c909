//! `branch`, `short_circuit`, `latest_only`, `empty` and `trigger_dag_run`: no process and no waiting
//! here. Sensors whose waiting is the scheduler's end at once.

mod child;
mod run;

pub(crate) use run::outcome;
