//! Setup and teardown: who depends on a setup task from afar, what a teardown task waits for
//! besides its neighbours, and which tasks decide the state of a run.
//!
//! Source: Airflow's `dagnode/node.py: get_upstreams_only_setups`, `trigger_rule_dep.py:
//! _evaluate_teardown_scope` and `dagrun.py: _tis_for_dagrun_state`.

use crate::dag::{Role, Task};
use crate::graph::{Graph, TaskIndex};
use std::collections::{HashMap, HashSet};

/// What roles add to the graph. Nothing is kept for a DAG without setup and teardown tasks but
/// its leaves.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    far_dependents: HashMap<TaskIndex, Vec<TaskIndex>>,
    watching_teardowns: HashMap<TaskIndex, Vec<TaskIndex>>,
    leaves: Vec<TaskIndex>,
}

impl Scopes {
    /// Reads the roles of `tasks` into relations.
    pub fn new(tasks: &[Task], graph: &Graph) -> Scopes {
        let all = || (0..graph.len() as u32).map(TaskIndex);
        let role = |at: TaskIndex| tasks[at.at()].role;
        let mut scopes = Scopes {
            leaves: leaves(tasks, graph),
            ..Scopes::default()
        };
        for setup in all().filter(|at| role(*at) == Role::Setup) {
            let far = far_dependents(tasks, graph, setup);
            if !far.is_empty() {
                scopes.far_dependents.insert(setup, far);
            }
        }
        for teardown in all().filter(|at| role(*at).is_teardown()) {
            for member in members(tasks, graph, teardown) {
                let watching = scopes.watching_teardowns.entry(member).or_default();
                watching.push(teardown);
            }
        }
        scopes
    }

    /// Tasks that need this setup task's success without waiting for it directly: those that
    /// stand before one of its teardown tasks, or all below it when it has none.
    pub fn far_dependents(&self, setup: TaskIndex) -> &[TaskIndex] {
        self.far_dependents.get(&setup).map_or(&[], Vec::as_slice)
    }

    /// Teardown tasks that wait for this task without naming it: it stands between one of their
    /// setup tasks and them.
    pub fn watching_teardowns(&self, member: TaskIndex) -> &[TaskIndex] {
        self.watching_teardowns
            .get(&member)
            .map_or(&[], Vec::as_slice)
    }

    /// The tasks whose ends decide the state of a run: those with nothing below them, where
    /// teardown tasks count only if their failure is to fail the run.
    pub fn leaves(&self) -> &[TaskIndex] {
        &self.leaves
    }
}

/// The setup tasks that `task` needs, near and far. For clearing; found by search.
pub fn setups_of(tasks: &[Task], graph: &Graph, task: TaskIndex) -> Vec<TaskIndex> {
    let below: HashSet<TaskIndex> = graph.reach(&[task], true).into_iter().collect();
    let above = graph.reach(&[task], false).into_iter();
    above
        .filter(|&at| at != task && tasks[at.at()].role == Role::Setup)
        .filter(|&setup| {
            let teardowns = teardowns_of(tasks, graph, setup);
            teardowns.is_empty() || teardowns.iter().any(|at| *at != task && below.contains(at))
        })
        .collect()
}

/// The teardown tasks of a setup task.
pub fn teardowns_of(tasks: &[Task], graph: &Graph, setup: TaskIndex) -> Vec<TaskIndex> {
    let below = graph.downstream(setup).iter().copied();
    below
        .filter(|at| tasks[at.at()].role.is_teardown())
        .collect()
}

fn far_dependents(tasks: &[Task], graph: &Graph, setup: TaskIndex) -> Vec<TaskIndex> {
    let teardowns = teardowns_of(tasks, graph, setup);
    let inside: Option<HashSet<TaskIndex>> =
        (!teardowns.is_empty()).then(|| graph.reach(&teardowns, false).into_iter().collect());
    let below = graph.reach(&[setup], true).into_iter();
    below
        .filter(|at| *at != setup && !tasks[at.at()].role.is_teardown())
        .filter(|at| !graph.upstream(*at).contains(&setup))
        .filter(|at| inside.as_ref().is_none_or(|inside| inside.contains(at)))
        .collect()
}

/// The tasks between a teardown task's setup tasks and it that it does not wait for directly.
fn members(tasks: &[Task], graph: &Graph, teardown: TaskIndex) -> Vec<TaskIndex> {
    let near = graph.upstream(teardown);
    let setups: Vec<TaskIndex> = near
        .iter()
        .copied()
        .filter(|at| tasks[at.at()].role == Role::Setup)
        .collect();
    if setups.is_empty() {
        return Vec::new();
    }
    let below: HashSet<TaskIndex> = graph.reach(&setups, true).into_iter().collect();
    let above = graph.reach(&[teardown], false).into_iter();
    above
        .filter(|at| *at != teardown && !near.contains(at))
        .filter(|at| below.contains(at) && !setups.contains(at))
        .collect()
}

fn leaves(tasks: &[Task], graph: &Graph) -> Vec<TaskIndex> {
    let all = || (0..graph.len() as u32).map(TaskIndex);
    let counts = |at: TaskIndex| match tasks[at.at()].role {
        Role::Teardown { fails_run } => fails_run,
        Role::Work | Role::Setup => true,
    };
    let leaves: Vec<TaskIndex> = all()
        .filter(|at| counts(*at) && !graph.downstream(*at).iter().any(|down| counts(*down)))
        .collect();
    if leaves.is_empty() {
        return all()
            .filter(|at| graph.downstream(*at).is_empty())
            .collect();
    }
    leaves
}
