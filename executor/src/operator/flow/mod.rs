//! `branch`, `short_circuit`, `latest_only` and `empty`: no process and no waiting.

mod run;

pub(crate) use run::outcome;
