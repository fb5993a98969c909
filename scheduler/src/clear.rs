//! Which instances a wish to clear means: the exact list that is shown before and done after.

use crate::run::Run;
use tidemill_model::dag::Role;
use tidemill_model::scope::{setups_of, teardowns_of};
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
    let without_upstream = chosen.clone();
    if choice.upstream {
        chosen.extend(run.dag.graph.reach(&start, false));
    }
    chosen.extend(preparations(run, &without_upstream));
    chosen.sort_unstable();
    chosen.dedup();
    chosen.retain(|at| run.tasks[at.at()].state != TaskState::None);
    chosen
}

/// The setup tasks that `tasks` need to run again, and the teardown tasks that clean up after
/// them (Airflow's `definitions/dag.py: partial_subset`).
fn preparations(run: &Run, tasks: &[TaskIndex]) -> Vec<TaskIndex> {
    let (of_dag, graph) = (&run.dag.tasks, &run.dag.graph);
    let mut setups = Vec::new();
    for &at in tasks {
        match of_dag[at.at()].role {
            Role::Work => setups.extend(setups_of(of_dag, graph, at)),
            Role::Setup => setups.push(at),
            Role::Teardown { .. } => {}
        }
    }
    setups.sort_unstable();
    setups.dedup();
    let teardowns = setups
        .iter()
        .flat_map(|setup| teardowns_of(of_dag, graph, *setup));
    let teardowns: Vec<TaskIndex> = teardowns.collect();
    setups.into_iter().chain(teardowns).collect()
}
