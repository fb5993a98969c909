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
    /// Only those that are running.
    pub only_running: bool,
    /// And all that wait for them.
    pub downstream: bool,
    /// And all that they wait for.
    pub upstream: bool,
}

/// The instances to clear, in the order of the file. Instances that nothing has happened to yet
/// are not in the list: clearing them would change nothing.
pub fn plan_clear(run: &Run, choice: &ClearChoice) -> Vec<TaskIndex> {
    let failed = |at: &TaskIndex| run.tasks[at.at()].state.is_failure();
    let mut start: Vec<TaskIndex> = if choice.tasks.is_empty() {
        run.places().collect()
    } else {
        choice.tasks.clone()
    };
    if choice.only_failed {
        start.retain(failed);
    }
    if choice.only_running {
        start.retain(|at| run.tasks[at.at()].is_live());
    }
    let tasks: Vec<TaskIndex> = start.iter().map(|at| run.index_of(*at)).collect();
    let mut others = Vec::new();
    if choice.downstream {
        others.extend(below(run, &tasks));
    }
    let before_upstream = [tasks.as_slice(), &others].concat();
    if choice.upstream {
        let above = run.dag.graph.reach(&tasks, false).into_iter();
        others.extend(above.filter(|at| !tasks.contains(at)));
    }
    others.extend(preparations(run, &before_upstream));
    let others = others.into_iter().flat_map(|task| run.places_of(task));
    let mut chosen: Vec<TaskIndex> = start.iter().copied().chain(others).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.retain(|at| {
        let state = run.tasks[at.at()].state;
        state != TaskState::None && state != TaskState::Removed
    });
    chosen
}

/// Everything below some tasks, without these, unless one is below another.
fn below(run: &Run, tasks: &[TaskIndex]) -> Vec<TaskIndex> {
    let next = tasks.iter().flat_map(|at| run.dag.graph.downstream(*at));
    let next: Vec<TaskIndex> = next.copied().collect();
    run.dag.graph.reach(&next, true)
}

/// Instances, with all of the tasks below and above theirs where that is wished.
pub fn with_neighbours(
    run: &Run,
    start: Vec<TaskIndex>,
    downstream: bool,
    upstream: bool,
) -> Vec<TaskIndex> {
    let tasks: Vec<TaskIndex> = start.iter().map(|at| run.index_of(*at)).collect();
    let mut others = Vec::new();
    if downstream {
        others.extend(below(run, &tasks));
    }
    if upstream {
        let above = run.dag.graph.reach(&tasks, false).into_iter();
        others.extend(above.filter(|at| !tasks.contains(at)));
    }
    let others = others.into_iter().flat_map(|task| run.places_of(task));
    let mut chosen: Vec<TaskIndex> = start.into_iter().chain(others).collect();
    chosen.sort_unstable();
    chosen.dedup();
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
