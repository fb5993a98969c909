//! The frozen graph of a DAG: dense indexes, upstream and downstream as flat arrays.

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The place of a task in its [`crate::Dag`]. Never stored, never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskIndex(pub u32);

impl TaskIndex {
    /// For indexing arrays.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// Who waits for whom. Built once for each version, from edges that petgraph found acyclic.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    upstream: Adjacency,
    downstream: Adjacency,
    order: Vec<TaskIndex>,
    labels: Labels,
}

/// What people call edges, by (upstream, downstream).
pub type Labels = BTreeMap<(TaskIndex, TaskIndex), Arc<str>>;

#[derive(Clone, Debug, Default)]
struct Adjacency {
    offsets: Box<[u32]>,
    targets: Box<[TaskIndex]>,
}

impl Adjacency {
    fn new(
        n_tasks: usize,
        edges: &[(u32, u32)],
        key: impl Fn(&(u32, u32)) -> (u32, u32),
    ) -> Adjacency {
        let mut offsets = vec![0u32; n_tasks + 1];
        for edge in edges {
            offsets[key(edge).0 as usize + 1] += 1;
        }
        for at in 0..n_tasks {
            offsets[at + 1] += offsets[at];
        }
        let mut fill = offsets.clone();
        let mut targets = vec![TaskIndex(0); edges.len()];
        for edge in edges {
            let (from, to) = key(edge);
            let slot = &mut fill[from as usize];
            targets[*slot as usize] = TaskIndex(to);
            *slot += 1;
        }
        Adjacency {
            offsets: offsets.into(),
            targets: targets.into(),
        }
    }

    fn of(&self, task: TaskIndex) -> &[TaskIndex] {
        &self.targets[self.offsets[task.at()] as usize..self.offsets[task.at() + 1] as usize]
    }
}

/// A shortest cycle: each task waits for the one before it, the first for the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle(pub Vec<TaskIndex>);

impl Graph {
    /// Freezes a graph. `edges` are pairs of (upstream, downstream); duplicates are dropped.
    ///
    /// # Errors
    /// The shortest cycle through one of the tasks that petgraph finds on a cycle.
    pub fn new(n_tasks: usize, mut edges: Vec<(u32, u32)>) -> Result<Graph, Cycle> {
        edges.sort_unstable();
        edges.dedup();
        let mut graph = DiGraph::<(), (), u32>::with_capacity(n_tasks, edges.len());
        for _ in 0..n_tasks {
            graph.add_node(());
        }
        for &(from, to) in &edges {
            graph.add_edge(
                NodeIndex::new(from as usize),
                NodeIndex::new(to as usize),
                (),
            );
        }
        let order = toposort(&graph, None).map_err(|_| shortest_cycle(&graph))?;
        Ok(Graph {
            upstream: Adjacency::new(n_tasks, &edges, |&(from, to)| (to, from)),
            downstream: Adjacency::new(n_tasks, &edges, |&(from, to)| (from, to)),
            order: order
                .into_iter()
                .map(|node| TaskIndex(node.index() as u32))
                .collect(),
            labels: Labels::new(),
        })
    }

    /// The same with names of its edges.
    #[must_use]
    pub fn with_labels(self, labels: Labels) -> Graph {
        Graph { labels, ..self }
    }

    /// What people call an edge, where they do.
    pub fn label(&self, upstream: TaskIndex, downstream: TaskIndex) -> Option<&str> {
        self.labels
            .get(&(upstream, downstream))
            .map(|label| &**label)
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Is there no task?
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The tasks that this one waits for.
    pub fn upstream(&self, task: TaskIndex) -> &[TaskIndex] {
        self.upstream.of(task)
    }

    /// The tasks that wait for this one.
    pub fn downstream(&self, task: TaskIndex) -> &[TaskIndex] {
        self.downstream.of(task)
    }

    /// Every task, each after all that it waits for.
    pub fn order(&self) -> &[TaskIndex] {
        &self.order
    }

    /// All edges as (upstream, downstream).
    pub fn edges(&self) -> impl Iterator<Item = (TaskIndex, TaskIndex)> + '_ {
        (0..self.len() as u32).flat_map(move |from| {
            self.downstream(TaskIndex(from))
                .iter()
                .map(move |&to| (TaskIndex(from), to))
        })
    }

    /// `start` and everything that can be reached from it, downstream or upstream.
    pub fn reach(&self, start: &[TaskIndex], downstream: bool) -> Vec<TaskIndex> {
        let mut seen = vec![false; self.len()];
        let mut queue: VecDeque<TaskIndex> = VecDeque::new();
        for &task in start {
            if !std::mem::replace(&mut seen[task.at()], true) {
                queue.push_back(task);
            }
        }
        while let Some(task) = queue.pop_front() {
            let next = if downstream {
                self.downstream(task)
            } else {
                self.upstream(task)
            };
            for &other in next {
                if !std::mem::replace(&mut seen[other.at()], true) {
                    queue.push_back(other);
                }
            }
        }
        (0..self.len() as u32)
            .map(TaskIndex)
            .filter(|task| seen[task.at()])
            .collect()
    }
}

/// Breadth first inside one strongly connected component, from a task back to itself.
fn shortest_cycle(graph: &DiGraph<(), (), u32>) -> Cycle {
    let is_loop = |node: NodeIndex| graph.find_edge(node, node).is_some();
    if let Some(node) = graph.node_indices().find(|&node| is_loop(node)) {
        return Cycle(vec![TaskIndex(node.index() as u32)]);
    }
    let component = kosaraju_scc(graph)
        .into_iter()
        .filter(|part| part.len() > 1)
        .min_by_key(Vec::len);
    let Some(start) = component.and_then(|part| part.into_iter().min()) else {
        return Cycle(Vec::new());
    };
    let mut came_from = vec![None; graph.node_count()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node) {
            if next == start {
                let mut path = vec![node];
                while let Some(before) = path.last().and_then(|last| came_from[last.index()]) {
                    path.push(before);
                }
                path.reverse();
                return Cycle(
                    path.into_iter()
                        .map(|node| TaskIndex(node.index() as u32))
                        .collect(),
                );
            }
            if came_from[next.index()].is_none() {
                came_from[next.index()] = Some(node);
                queue.push_back(next);
            }
        }
    }
    Cycle(Vec::new())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_shown_whole_and_shortest() {
        let cycle = Graph::new(5, vec![(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)]).unwrap_err();
        assert_eq!(cycle, Cycle(vec![TaskIndex(1), TaskIndex(2), TaskIndex(3)]));
    }

    #[test]
    fn a_task_that_waits_for_itself_is_a_cycle() {
        assert_eq!(
            Graph::new(1, vec![(0, 0)]).unwrap_err(),
            Cycle(vec![TaskIndex(0)])
        );
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_tasks_needs_no_deep_stack() {
        let edges = (0..99_999).map(|at| (at, at + 1)).collect();
        let graph = Graph::new(100_000, edges).unwrap();
        assert_eq!(graph.order().len(), 100_000);
        assert_eq!(graph.reach(&[TaskIndex(99_000)], true).len(), 1_000);
    }
}
