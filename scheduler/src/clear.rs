//! Which instances a wish to clear means: the exact list that is shown before and done after.

use crate::run::Run;
use tidemill_model::{TaskIndex, TaskState};

/// A wish to run instances again.
#[derive(Clone, Debug, Default)]
pub struct ClearChoice {
    /// Which; every task when empty.
    pub tasks: Vec<TaskIndex>,
    /// Only those that failed or were blocked by a failure.
    pub only_failed: bool,
    /// And all that wait for them.
    pub downstream: bool,
    /// And all that they wait for.
    pub upstream: bool,
}

/// The instances to clear, in the order of the file. Instances that nothing has happened to yet
/// are not in the list: clearing them would change nothing.
pub fn plan_clear(run: &Run, choice: &ClearChoice) -> Vec<TaskIndex> {
    let all = || (0..run.tasks.len() as u32).map(TaskIndex);
    let failed = |at: &TaskIndex| run.tasks[at.at()].state.is_failure();
    let mut start: Vec<TaskIndex> = if choice.tasks.is_empty() {
        all().collect()
    } else {
        choice.tasks.clone()
    };
    if choice.only_failed {
        start.retain(failed);
    }
    let mut chosen = start.clone();
    if choice.downstream {
        chosen.extend(run.dag.graph.reach(&start, true));
    }
    if choice.upstream {
        chosen.extend(run.dag.graph.reach(&start, false));
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen.retain(|at| run.tasks[at.at()].state != TaskState::None);
    chosen
}
