//! The decisions: which task may run, what an attempt's end means, which runs are due.
//!
//! Pure: no IO, no clock, no chance. Time comes in as an argument; what is to be done goes out as
//! [`Effect`]s, which the engine writes in one transaction before it acts on any of them.

mod admit;
mod backfill;
mod begin;
mod clear;
mod counters;
mod due;
mod ended;
mod failing;
mod in_step;
mod instances;
mod past;
mod people;
mod repin;
mod retry;
mod rule;
mod run;
mod step;
mod turns;
mod wait;
mod why;

pub use admit::{Admission, FAIR_SHARE, Gate, GateKind, Place, PoolLimit, PoolUse};
pub use backfill::{BackfillRange, DateFate, check_backfill, date_fate, next_backfill_tick};
pub use begin::run_after;
pub use clear::{ClearChoice, plan_clear, with_neighbours};
pub use due::{Due, FIRST_RUNS_MAX, OWED_MAX, due, n_owed, next_tick, owes_many, previous_tick};
pub use failing::is_failing;
pub use past::{PastGate, PastTask, look_back};
pub use repin::{Pin, Repinned, repin};
pub use retry::next_try_at;
pub use rule::{Counts, Decision, UpstreamCounts, decide};
pub use run::{Effect, Run, Taken};
pub use step::{Event, step};
pub use turns::{TurnGate, TurnGateKind, Turns};
pub use wait::{Heard, Judged, judge, time_target};
pub use why::{Check, CheckKind, DagStand, may_tick, why_dag, why_paused, why_run, why_task};
