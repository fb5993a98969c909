//! Reads of tasks that are not upstream.

use crate::diagnostic::Diagnostic;
use crate::names::Names;
use crate::refs::Read;
use crate::walk::Walk;
use tidemill_model::graph::{Graph, TaskIndex};

/// Steps that the search for upstream tasks may take over a whole file; past it, what is not
/// found is left to the strictness of the rendering.
const STEPS_MAX: usize = 50_000_000;

/// Reports reads of tasks that are not upstream.
pub(crate) fn check_upstream(walk: &mut Walk, names: &Names, graph: &Graph, reads: &[Read]) {
    let mut place = vec![0u32; graph.len()];
    for (at, task) in graph.order().iter().enumerate() {
        place[task.at()] = at as u32;
    }
    let mut seen = vec![u32::MAX; graph.len()];
    let mut n_steps = 0;
    for (n_read, read) in reads.iter().enumerate() {
        let (task, upstream) = (TaskIndex(read.task), TaskIndex(read.upstream));
        let mut is_upstream = graph.upstream(task).contains(&upstream);
        let mut queue = vec![task];
        while let Some(at) = queue.pop().filter(|_| !is_upstream && n_steps < STEPS_MAX) {
            for &next in graph.upstream(at) {
                n_steps += 1;
                is_upstream |= next == upstream;
                // Whatever comes earlier in the order cannot lie below `upstream`.
                let may_lead =
                    place[next.at()] > place[upstream.at()] && seen[next.at()] != n_read as u32;
                if may_lead {
                    seen[next.at()] = n_read as u32;
                    queue.push(next);
                }
            }
        }
        if !is_upstream && n_steps < STEPS_MAX {
            walk.report(not_upstream(walk, names, read));
        }
    }
}

fn not_upstream(walk: &Walk, names: &Names, read: &Read) -> Diagnostic {
    let task = &names.tasks[read.task as usize];
    let other = &names.tasks[read.upstream as usize].id;
    if read.task == read.upstream {
        let message = format!("task `{other}` cannot use its own values before it has run");
        return Diagnostic::error("TM0205", read.span.clone(), message).label("not upstream");
    }
    let message = format!(
        "task `{}` uses `{other}`, which is not upstream of it",
        task.id
    );
    let one = Diagnostic::error("TM0205", read.span.clone(), message)
        .label("may not have run yet")
        .help(format!("wait for it: add \"{other}\" to `depends_on`"));
    match &task.depends_on_span {
        Some(span)
            if walk
                .source
                .get(span.clone())
                .is_some_and(|text| text.ends_with(']')) =>
        {
            let comma = if task.depends_on.is_empty() { "" } else { ", " };
            one.patch(span.end - 1..span.end - 1, format!("{comma}\"{other}\""))
        }
        None => {
            let line = walk.lines.line(task.span.start);
            let (start, next) = (walk.lines.start(line), walk.lines.start(line + 1));
            let is_header = walk.source[start..].trim_start().starts_with('[');
            if is_header && next > start {
                one.patch(next..next, format!("depends_on = [\"{other}\"]\n"))
            } else {
                one
            }
        }
        Some(_) => one,
    }
}
