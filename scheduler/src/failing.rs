//! When a DAG fails so often that it is paused.

use tidemill_model::{RunRow, RunState};

/// Have the latest runs of a DAG failed, as many as `max` in a row? The latest are those that were
/// due last. One that is not over, or has succeeded, ends the row; 0 is never (Airflow's
/// `_check_last_n_dagruns_failed`).
pub fn is_failing<'r>(runs: impl IntoIterator<Item = &'r RunRow>, max: usize) -> bool {
    let mut runs: Vec<&RunRow> = runs.into_iter().collect();
    runs.sort_unstable_by_key(|row| std::cmp::Reverse((row.run_after, row.run)));
    let n_failed = runs
        .iter()
        .take_while(|row| row.state == RunState::Failed)
        .count();
    max > 0 && n_failed >= max
}
