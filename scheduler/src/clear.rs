//! Which instances a wish to clear means: the exact list that is shown before and done after.

use crate::run::Run;
use std::collections::{BTreeSet, HashSet};
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
    let mut others = Vec::new();
    if choice.downstream {
        others.extend(beyond(run, &start, Way::Down));
    }
    let mut before_upstream: Vec<TaskIndex> = start.iter().chain(&others).copied().collect();
    before_upstream
        .iter_mut()
        .for_each(|at| *at = run.index_of(*at));
    before_upstream.sort_unstable();
    before_upstream.dedup();
    if choice.upstream {
        others.extend(beyond(run, &start, Way::Up));
    }
    let prepared = preparations(run, &before_upstream).into_iter();
    others.extend(prepared.flat_map(|task| run.places_of(task)));
    let mut chosen: Vec<TaskIndex> = start.iter().copied().chain(others).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.retain(|at| {
        let state = run.tasks[at.at()].state;
        state != TaskState::None && state != TaskState::Removed
    });
    chosen
}

/// Instances, with all of the tasks below and above theirs where that is wished.
pub fn with_neighbours(
    run: &Run,
    start: Vec<TaskIndex>,
    downstream: bool,
    upstream: bool,
) -> Vec<TaskIndex> {
    let mut chosen = start.clone();
    if downstream {
        chosen.extend(beyond(run, &start, Way::Down));
    }
    if upstream {
        chosen.extend(beyond(run, &start, Way::Up));
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// A direction in the graph.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Down,
    Up,
}

/// Every instance below some instances, or above them, but for others of their tasks above. Of
/// tasks that go in step with each other it is the instance with the same index.
fn beyond(run: &Run, start: &[TaskIndex], way: Way) -> Vec<TaskIndex> {
    let graph = &run.dag.graph;
    let mut found: BTreeSet<TaskIndex> = BTreeSet::new();
    let mut seen: HashSet<TaskIndex> = HashSet::new();
    let mut work = start.to_vec();
    while let Some(at) = work.pop() {
        let task = run.index_of(at);
        let is_first = seen.insert(task);
        let near = match way {
            Way::Down => graph.downstream(task),
            Way::Up => graph.upstream(task),
        };
        for &other in near {
            let places = match run.one_beside(at, other) {
                Some(one) => vec![one],
                None if is_first => run.places_of(other),
                None => continue,
            };
            work.extend(places.into_iter().filter(|place| found.insert(*place)));
        }
    }
    let own: HashSet<TaskIndex> = start.iter().map(|at| run.index_of(*at)).collect();
    let is_wanted = |at: &TaskIndex| way == Way::Down || !own.contains(&run.index_of(*at));
    found.into_iter().filter(is_wanted).collect()
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
