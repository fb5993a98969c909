//! Which names a file gives to what, and who waits for whom.

use crate::diagnostic::Diagnostic;
use crate::suggest::nearest;
use crate::walk::Walk;
use crate::walk::group::GroupKeys;
use crate::walk::task::{TaskKeys, Upstream};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use tidemill_model::graph::{Cycle, Graph, Labels, TaskIndex};

/// The most dependencies between tasks.
const EDGES_MAX: usize = 2_000_000;
/// Names of a circle that are written out; the others are counted.
const CYCLE_SHOWN_MAX: usize = 20;

/// A task or a group, as a place in the lists of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Task(u32),
    Group(u32),
}

/// The names of a file.
pub(crate) struct Names<'t> {
    pub(crate) tasks: &'t [TaskKeys],
    pub(crate) groups: &'t [GroupKeys],
    nodes: HashMap<&'t str, Node>,
    /// The group of each task and of each group.
    pub(crate) task_group: Vec<Option<u32>>,
    pub(crate) group_parent: Vec<Option<u32>>,
    /// The tasks of each group and of the groups inside it.
    members: Vec<Vec<u32>>,
}

impl<'t> Names<'t> {
    /// Finds out what each name is; reports names that are taken, and groups that are not there.
    pub(crate) fn new(
        walk: &mut Walk,
        tasks: &'t [TaskKeys],
        groups: &'t [GroupKeys],
    ) -> Names<'t> {
        let mut nodes = HashMap::with_capacity(tasks.len() + groups.len());
        for (at, group) in groups.iter().enumerate() {
            nodes.insert(group.id.as_str(), Node::Group(at as u32));
        }
        for (at, task) in tasks.iter().enumerate() {
            if let Some(Node::Group(group)) = nodes.insert(task.id.as_str(), Node::Task(at as u32))
            {
                let message = format!("`{}` is a task and a group", task.id);
                walk.report(
                    Diagnostic::error("TM0108", task.span.clone(), message)
                        .label("the task")
                        .other(groups[group as usize].span.clone(), "the group")
                        .help("give one of them another name"),
                );
            }
        }
        let mut names = Names {
            tasks,
            groups,
            nodes,
            task_group: Vec::new(),
            group_parent: Vec::new(),
            members: vec![Vec::new(); groups.len()],
        };
        names.group_parent = groups
            .iter()
            .map(|group| {
                group
                    .parent
                    .as_ref()
                    .and_then(|text| names.group_of(walk, &text.value, &text.span))
            })
            .collect();
        names.break_group_circles(walk);
        names.task_group = tasks
            .iter()
            .map(|task| {
                task.group
                    .as_ref()
                    .and_then(|text| names.group_of(walk, &text.value, &text.span))
            })
            .collect();
        for at in 0..tasks.len() as u32 {
            for group in names.ancestors(Node::Task(at)) {
                names.members[group as usize].push(at);
            }
        }
        names
    }

    /// What a name is.
    pub(crate) fn node(&self, name: &str) -> Option<Node> {
        self.nodes.get(name).copied()
    }

    /// The tasks of a group and of the groups inside it.
    pub(crate) fn members(&self, group: u32) -> &[u32] {
        &self.members[group as usize]
    }

    fn group_of(&self, walk: &mut Walk, name: &str, span: &Range<usize>) -> Option<u32> {
        if let Some(Node::Group(at)) = self.node(name) {
            return Some(at);
        }
        if let Some(at) = self.groups.iter().position(|group| group.id == name) {
            return Some(at as u32); // A task has the same name; that is reported.
        }
        let one = Diagnostic::error(
            "TM0142",
            span.clone(),
            format!("`{name}` is not a group of this DAG"),
        );
        walk.report(
            match nearest(name, self.groups.iter().map(|group| group.id.as_str())) {
                Some(near) => one
                    .help(format!("did you mean `{near}`?"))
                    .patch(span.clone(), format!("\"{near}\"")),
                None => one.help(format!("add [groups.{name}]")),
            },
        );
        None
    }

    fn break_group_circles(&mut self, walk: &mut Walk) {
        for at in 0..self.groups.len() {
            let mut seen = HashSet::from([at]);
            let mut up = self.group_parent[at];
            while let Some(parent) = up {
                if !seen.insert(parent as usize) {
                    let message = format!("group `{}` is inside itself", self.groups[at].id);
                    let span = self.groups[at]
                        .parent
                        .as_ref()
                        .map_or(0..0, |text| text.span.clone());
                    walk.report(Diagnostic::error("TM0142", span, message));
                    self.group_parent[at] = None;
                    break;
                }
                up = self.group_parent[parent as usize];
            }
        }
    }

    /// The groups around a task or a group, the nearest first.
    pub(crate) fn ancestors(&self, node: Node) -> Vec<u32> {
        let mut up = match node {
            Node::Task(at) => self.task_group.get(at as usize).copied().flatten(),
            Node::Group(at) => self.group_parent[at as usize],
        };
        let mut found = Vec::new();
        while let Some(group) = up {
            found.push(group);
            up = self.group_parent[group as usize];
        }
        found
    }

    fn name_of(&self, node: Node) -> &str {
        match node {
            Node::Task(at) => &self.tasks[at as usize].id,
            Node::Group(at) => &self.groups[at as usize].id,
        }
    }

    /// All dependencies as they are written, of tasks and of groups.
    fn written(&self) -> impl Iterator<Item = (Node, &'t Upstream)> {
        let of_tasks = self.tasks.iter().enumerate().flat_map(|(at, task)| {
            let own = task.depends_on.iter().chain(task.each());
            own.map(move |one| (Node::Task(at as u32), one))
        });
        let of_groups = self.groups.iter().enumerate().flat_map(|(at, group)| {
            group
                .depends_on
                .iter()
                .map(move |one| (Node::Group(at as u32), one))
        });
        of_tasks.chain(of_groups)
    }

    /// The graph of the tasks; `None` when something is wrong with it.
    pub(crate) fn graph(&self, walk: &mut Walk) -> Option<Graph> {
        let mut links = Vec::new();
        let n_before = walk.diagnostics.len() + walk.n_dropped;
        for (from, upstream) in self.written() {
            match self.node(&upstream.name) {
                None => self.unknown_upstream(walk, from, upstream),
                Some(to) if self.is_around(to, from) => {
                    let message = format!(
                        "`{}` cannot wait for `{}`, which it is part of",
                        self.name_of(from),
                        upstream.name
                    );
                    walk.report(
                        Diagnostic::error("TM0140", upstream.span.clone(), message)
                            .label("waits for itself"),
                    );
                }
                Some(to) => links.push((from, to, upstream)),
            }
        }
        let (edges, labels) = self.edges(walk, &links)?;
        if walk.diagnostics.len() + walk.n_dropped > n_before {
            return None;
        }
        match Graph::new(self.tasks.len(), edges) {
            Ok(graph) => Some(graph.with_labels(labels)),
            Err(cycle) => {
                self.report_cycle(walk, &cycle);
                None
            }
        }
    }

    /// Is `outer` a group around `inner`, or `inner` a group around `outer`, or the same group?
    fn is_around(&self, outer: Node, inner: Node) -> bool {
        let holds = |outer: Node, inner: Node| match outer {
            Node::Group(group) => outer == inner || self.ancestors(inner).contains(&group),
            Node::Task(_) => false,
        };
        holds(outer, inner) || holds(inner, outer)
    }

    fn unknown_upstream(&self, walk: &mut Walk, from: Node, upstream: &Upstream) {
        if walk.is_full() {
            walk.n_dropped += 1;
            return;
        }
        let own = self.name_of(from);
        let message = format!(
            "`{own}` waits for `{}`, which is not a task or a group of this DAG",
            upstream.name
        );
        let one = Diagnostic::error("TM0141", upstream.span.clone(), message).label("unknown");
        let names = self
            .tasks
            .iter()
            .map(|task| task.id.as_str())
            .chain(self.groups.iter().map(|group| group.id.as_str()));
        walk.report(
            match nearest(&upstream.name, names.filter(|name| *name != own)) {
                Some(near) => one
                    .help(format!("did you mean `{near}`?"))
                    .patch(upstream.span.clone(), format!("\"{near}\"")),
                None => one.help(format!(
                    "add [tasks.{}], or take the name out",
                    upstream.name
                )),
            },
        );
    }

    /// The edges between tasks, and what those are called that have a label.
    fn edges(
        &self,
        walk: &mut Walk,
        links: &[(Node, Node, &Upstream)],
    ) -> Option<(Vec<(u32, u32)>, Labels)> {
        let mut ends = Ends::new(self, links);
        let mut labels = Labels::new();
        let mut edges = Vec::with_capacity(links.len());
        for (from, to, upstream) in links {
            let (last, first) = (ends.last_of(*to), ends.first_of(*from));
            if let Node::Group(_) = to
                && last.is_empty()
            {
                let message = format!("the group `{}` has no tasks to wait for", upstream.name);
                walk.report(
                    Diagnostic::error("TM0142", upstream.span.clone(), message)
                        .label("an empty group"),
                );
            }
            if edges
                .len()
                .saturating_add(last.len().saturating_mul(first.len()))
                > EDGES_MAX
            {
                let message = format!("the DAG has more than {EDGES_MAX} dependencies");
                walk.report(
                    Diagnostic::error("TM0008", upstream.span.clone(), message)
                        .label("the limit is reached here")
                        .help("let one `empty` task join the many, and wait for that"),
                );
                return None;
            }
            for &start in first.iter() {
                edges.extend(last.iter().map(|&end| (end, start)));
            }
            if let Some(label) = &upstream.label {
                let label: Arc<str> = Arc::from(label.as_str());
                for &start in first.iter() {
                    for &end in last.iter() {
                        // What a task says itself comes first, and counts before what its groups say.
                        let edge = (TaskIndex(end), TaskIndex(start));
                        labels.entry(edge).or_insert_with(|| Arc::clone(&label));
                    }
                }
            }
        }
        Some((edges, labels))
    }

    /// The place in the file that makes `task` wait for `upstream`.
    fn reason(&self, upstream: u32, task: u32) -> Option<Range<usize>> {
        let covers = |name: &str| match self.node(name) {
            Some(Node::Task(at)) => at == upstream,
            Some(Node::Group(at)) => self.ancestors(Node::Task(upstream)).contains(&at),
            None => false,
        };
        let own = &self.tasks[task as usize];
        let own = own.depends_on.iter().chain(own.each());
        let of_groups = self
            .ancestors(Node::Task(task))
            .into_iter()
            .flat_map(|at| self.groups[at as usize].depends_on.iter());
        own.chain(of_groups)
            .find(|one| covers(&one.name))
            .map(|one| one.span.clone())
    }

    fn report_cycle(&self, walk: &mut Walk, cycle: &Cycle) {
        let tasks: Vec<u32> = cycle.0.iter().map(|task| task.0).collect();
        let (Some(&first), Some(&last)) = (tasks.first(), tasks.last()) else {
            return;
        };
        let name = |at: u32| self.tasks[at as usize].id.as_str();
        let mut shown: Vec<&str> = tasks
            .iter()
            .take(CYCLE_SHOWN_MAX)
            .map(|&at| name(at))
            .collect();
        let more = format!("({} more)", tasks.len().saturating_sub(CYCLE_SHOWN_MAX));
        if tasks.len() > CYCLE_SHOWN_MAX {
            shown.push(&more);
        }
        shown.push(name(first));
        let message = format!("dependency cycle: {}", shown.join(" -> "));
        let span = self
            .reason(last, first)
            .unwrap_or_else(|| self.tasks[first as usize].span.clone());
        let mut one = Diagnostic::error("TM0140", span, message)
            .label(format!(
                "{} waits for {}: closes the cycle",
                name(first),
                name(last)
            ))
            .help("take one of these dependencies out");
        for pair in tasks.windows(2).take(CYCLE_SHOWN_MAX) {
            if let Some(span) = self.reason(pair[0], pair[1]) {
                one = one.other(
                    span,
                    format!("{} waits for {}", name(pair[1]), name(pair[0])),
                );
            }
        }
        walk.report(one);
    }
}

/// The first and the last tasks of groups: those that wait for nothing inside the group, and
/// those that nothing inside it waits for.
struct Ends<'n, 't> {
    names: &'n Names<'t>,
    waits_inside: HashSet<(Node, u32)>,
    waited_for_inside: HashSet<(Node, u32)>,
    first: HashMap<u32, Rc<[u32]>>,
    last: HashMap<u32, Rc<[u32]>>,
}

impl<'n, 't> Ends<'n, 't> {
    fn new(names: &'n Names<'t>, links: &[(Node, Node, &Upstream)]) -> Ends<'n, 't> {
        let mut ends = Ends {
            names,
            waits_inside: HashSet::new(),
            waited_for_inside: HashSet::new(),
            first: HashMap::new(),
            last: HashMap::new(),
        };
        if names.groups.is_empty() {
            return ends;
        }
        for (from, to, _) in links {
            let around = names.ancestors(*from);
            for group in names
                .ancestors(*to)
                .into_iter()
                .filter(|group| around.contains(group))
            {
                ends.waits_inside.insert((*from, group));
                // Whoever waits for a group does not wait for what cleans up after it.
                if !is_teardown(names, *from) {
                    ends.waited_for_inside.insert((*to, group));
                }
            }
        }
        ends
    }

    fn first_of(&mut self, node: Node) -> Rc<[u32]> {
        match node {
            Node::Task(at) => Rc::from([at]),
            Node::Group(group) => {
                let (names, inside) = (self.names, &self.waits_inside);
                self.first
                    .entry(group)
                    .or_insert_with(|| outermost(names, group, inside))
                    .clone()
            }
        }
    }

    fn last_of(&mut self, node: Node) -> Rc<[u32]> {
        match node {
            Node::Task(at) => Rc::from([at]),
            Node::Group(group) => {
                let (names, inside) = (self.names, &self.waited_for_inside);
                self.last
                    .entry(group)
                    .or_insert_with(|| without_teardowns(names, &outermost(names, group, inside)))
                    .clone()
            }
        }
    }
}

fn is_teardown(names: &Names, node: Node) -> bool {
    matches!(node, Node::Task(at) if names.tasks[at as usize].role.is_teardown)
}

fn without_teardowns(names: &Names, tasks: &[u32]) -> Rc<[u32]> {
    let stay = tasks.iter().copied();
    stay.filter(|at| !is_teardown(names, Node::Task(*at)))
        .collect()
}

/// The members of a group for which neither they nor a group between are marked.
fn outermost(names: &Names, group: u32, marked: &HashSet<(Node, u32)>) -> Rc<[u32]> {
    let is_marked = |task: u32| {
        let between = names
            .ancestors(Node::Task(task))
            .into_iter()
            .take_while(|around| *around != group);
        marked.contains(&(Node::Task(task), group))
            || between
                .into_iter()
                .any(|inner| marked.contains(&(Node::Group(inner), group)))
    };
    names.members[group as usize]
        .iter()
        .copied()
        .filter(|task| !is_marked(*task))
        .collect()
}
