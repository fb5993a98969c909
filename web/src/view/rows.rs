//! Lists of tasks: which there are, and how each stands.

use super::names::Names;
use super::{Badge, When, span_text, text, urgency};
use std::collections::{HashMap, HashSet};
use tidemill_model::{Dag, MapIndex, Task, TaskNo, TaskState, Ts};
use tidemill_store::{RunRecord, TaskRow};

/// A task of a DAG, as a line of a page.
#[derive(Clone, Debug)]
pub(crate) struct TaskLine {
    pub(crate) no: TaskNo,
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) operator: &'static str,
    pub(crate) group: String,
}

/// The tasks of a definition in its order; of all known names when the definition is not there.
pub(crate) fn task_lines(dag: Option<&Dag>, names: &Names) -> Vec<TaskLine> {
    let Some(dag) = dag else {
        let line = |(no, id): (TaskNo, &str)| TaskLine {
            no,
            id: id.to_string(),
            title: id.to_string(),
            operator: "",
            group: String::new(),
        };
        return names.in_order().into_iter().map(line).collect();
    };
    let lines = dag.tasks.iter();
    let lines = lines.filter_map(|task| Some(of_task(dag, task, names.no(&task.id)?)));
    lines.collect()
}

fn of_task(dag: &Dag, task: &Task, no: TaskNo) -> TaskLine {
    TaskLine {
        no,
        id: task.id.clone(),
        title: text::inert(task.display_name.as_deref().unwrap_or(&task.id)),
        operator: task.operator.name(),
        group: task
            .group
            .and_then(|at| dag.groups.get(at))
            .map(|group| group.id.clone())
            .unwrap_or_default(),
    }
}

/// One task as a line, without making those of all the others.
pub(crate) fn task_line(dag: Option<&Dag>, names: &Names, no: TaskNo) -> Option<TaskLine> {
    let dag = dag?;
    Some(of_task(dag, task_of(dag, names.id(no), no)?, no))
}

/// The task of a name. Numbers are given in the order of the file, so the first guess is nearly
/// always right.
pub(crate) fn task_of<'d>(dag: &'d Dag, id: &str, no: TaskNo) -> Option<&'d Task> {
    let guess = usize::try_from(no.0).ok().and_then(|no| no.checked_sub(1));
    let guess = guess
        .and_then(|at| dag.tasks.get(at))
        .filter(|task| task.id == id);
    guess.or_else(|| dag.tasks.iter().find(|task| task.id == id))
}

/// The instances of a run: its rows, and one without a state for each task that has no row yet.
pub(crate) fn instances(
    run: &RunRecord,
    rows: Vec<TaskRow>,
    lines: &[TaskLine],
    dag: Option<&Dag>,
) -> Vec<TaskRow> {
    if run.row.state.is_terminal() && !rows.is_empty() {
        return rows;
    }
    let touched: HashSet<TaskNo> = rows.iter().map(|row| row.task_no).collect();
    let tasks = dag.into_iter().flat_map(|dag| &dag.tasks);
    let retries: HashMap<&str, u32> = tasks
        .map(|task| (task.id.as_str(), task.retry.retries))
        .collect();
    let untouched = lines.iter().filter(|line| !touched.contains(&line.no));
    let blanks = untouched.map(|line| {
        let retries = retries.get(line.id.as_str()).copied().unwrap_or(0);
        TaskRow::new(run.row.run, line.no, MapIndex::NONE, retries)
    });
    let mut all: Vec<TaskRow> = blanks.collect();
    all.extend(rows);
    all.sort_by_key(|row| (row.task_no, row.map_index));
    all
}

/// How many instances are in which state, worst first.
pub(crate) fn counts(rows: &[TaskRow]) -> Vec<(TaskState, usize)> {
    let mut by_state: HashMap<TaskState, usize> = HashMap::new();
    for row in rows {
        *by_state.entry(row.state).or_default() += 1;
    }
    let mut counts: Vec<_> = by_state.into_iter().collect();
    counts.sort_by_key(|(state, _)| urgency(*state));
    counts
}

/// A task instance in the table of a run.
#[derive(Clone, Debug)]
pub(crate) struct InstanceLine {
    pub(crate) title: String,
    pub(crate) operator: &'static str,
    pub(crate) url: String,
    pub(crate) badge: Badge,
    pub(crate) tries: String,
    pub(crate) start: Option<When>,
    pub(crate) duration: String,
    pub(crate) note: String,
    /// The bar: where it begins and how wide it is, in thousandths of the run.
    pub(crate) bar: (u32, u32),
}

/// One instance as a line; `begin` and `end` are those of the whole table.
pub(crate) fn instance_line(
    run: &RunRecord,
    row: &TaskRow,
    line: Option<&TaskLine>,
    id: &str,
    (begin, end, now): (Ts, Ts, Ts),
) -> InstanceLine {
    let title = line.map_or(id, |line| line.title.as_str());
    let map = if row.map_index.0 < 0 {
        String::new()
    } else {
        format!(" [{}]", row.map_index)
    };
    let part = |at: Ts| {
        (at.since(begin).as_micros() * 1000 / end.since(begin).as_micros().max(1)).min(1000) as u32
    };
    let bar = row.started_at.map_or((0, 0), |start| {
        let left = part(start).min(996);
        (
            left,
            part(row.ended_at.unwrap_or(now))
                .saturating_sub(left)
                .max(4),
        )
    });
    InstanceLine {
        title: format!("{title}{map}"),
        operator: line.map_or("", |line| line.operator),
        url: text::task_url(&run.dag_id, &run.row.run_id, id, row.map_index.0),
        badge: row.state.into(),
        tries: tries_text(row),
        start: row.started_at.map(When::from),
        duration: span_text(row.started_at, row.ended_at, now),
        note: note(row),
        bar,
    }
}

/// `2/4`: which try of how many; empty before the first.
pub(crate) fn tries_text(row: &TaskRow) -> String {
    match row.try_number {
        ..=0 => String::new(),
        n => format!("{n}/{}", (row.max_tries + 1).max(n)),
    }
}

/// Why it is in its state, in one line.
pub(crate) fn note(row: &TaskRow) -> String {
    let mut parts = Vec::new();
    if let Some(message) = &row.message {
        parts.push(text::cut(&text::inert(message), 300));
    } else if let Some(reason) = row.reason {
        parts.push(reason.name().replace('_', " "));
    }
    match row.exit_code {
        Some(code) if code != 0 && !parts.iter().any(|part| part.contains("exit")) => {
            parts.push(format!("exit {code}"))
        }
        _ => {}
    }
    if let (TaskState::UpForRetry, Some(at)) = (row.state, row.not_before) {
        parts.push(format!("next try at {}", When::from(at).short));
    }
    parts.join(" · ")
}
