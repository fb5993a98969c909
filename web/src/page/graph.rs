//! The graph of a DAG, drawn by the server, with the states of one run over it.

use super::{DagHead, Frame, PageResult, dag_facts, dag_head, show};
use crate::Web;
use crate::layout::{self, BOX};
use crate::view::{Badge, rows, text, urgency, wide};
use askama::Template;
use axum::extract::{Path, Query, State};
use std::collections::HashMap;
use std::fmt::Write as _;
use tidemill_model::{Dag, MapIndex, TaskIndex, TaskNo, TaskState};
use tidemill_store::{RunFilter, RunRecord};

const LIST_MAX: usize = 1_000;
/// Letters of an edge's label that are drawn,
const LABEL_MAX: usize = 28;
/// and about how wide one of them is.
const LETTER: f64 = 6.6;

struct Node {
    title: String,
    label: String,
    url: String,
    badge: Badge,
    operator: &'static str,
    rule: String,
    waits_for: String,
    x: String,
    y: String,
    width: String,
}

struct Drawn {
    width: String,
    height: String,
    edges: Vec<String>,
    labels: Vec<EdgeLabel>,
}

/// What people call an edge, and the middle of its place.
struct EdgeLabel {
    text: String,
    x: String,
    y: String,
}

#[derive(Template)]
#[template(path = "graph.html")]
struct Graph {
    frame: Frame,
    head: DagHead,
    run: Option<(String, String, Badge)>,
    runs: Vec<(String, String, bool)>,
    drawn: Option<Drawn>,
    nodes: Vec<Node>,
    n_tasks: usize,
}

/// The page.
pub(crate) async fn page(
    State(web): State<Web>,
    Path(dag_id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> PageResult {
    let facts = dag_facts(&web, &dag_id).await?;
    let filter = RunFilter {
        dag_id: Some(dag_id.clone()),
        limit: 25,
        ..RunFilter::default()
    };
    let recent = web.doors.pages.runs(&filter).await?.runs;
    let run = match query.get("run") {
        Some(run_id) => web.doors.pages.run(&dag_id, run_id).await?,
        None => recent.first().cloned(),
    };
    let mut states: HashMap<TaskNo, (TaskState, MapIndex)> = HashMap::new();
    if let Some(run) = &run {
        let pages = web.doors.pages.as_ref();
        let rows = match facts.dag.as_deref().filter(|dag| wide::is_wide(Some(dag))) {
            Some(dag) => {
                // Only the first tasks are listed, so only their rows are read.
                let first = dag.tasks.iter().take(LIST_MAX);
                let nos = first.filter_map(|task| facts.names.no(&task.id));
                let lines = nos.filter_map(|no| rows::task_line(Some(dag), &facts.names, no));
                let lines: Vec<_> = lines.collect();
                wide::rows_of(pages, run.row.run, &lines, 0).await?
            }
            None => pages.tasks(&[run.row.run]).await?,
        };
        for row in rows {
            // A mapped task shows the worst of its instances, and leads to it.
            let own = (row.state, row.map_index);
            let worst = states.entry(row.task_no).or_insert(own);
            if urgency(row.state) < urgency(worst.0) {
                *worst = own;
            }
        }
    }
    let mut frame = Frame::new(
        format!("{dag_id} graph"),
        Some(format!("dag:{dag_id}")),
        web.doors.version,
    );
    frame.refresh = run.as_ref().is_some_and(|run| !run.row.state.is_terminal());
    let state = |id: &str| {
        facts
            .names
            .no(id)
            .and_then(|no| states.get(&no))
            .copied()
            .unwrap_or((TaskState::None, MapIndex::NONE))
    };
    let mut nodes = nodes(facts.dag.as_deref(), run.as_ref(), &dag_id, state);
    let drawn = facts.dag.as_deref().and_then(|dag| drawn(dag, &mut nodes));
    let n_tasks = facts.dag.as_deref().map_or(0, |dag| dag.tasks.len());
    let chosen = run.as_ref().map(|run| run.row.run_id.clone());
    let choice = |run: &RunRecord| {
        let label = format!("{} {}", run.row.state.glyph(), run.row.run_id);
        (
            run.row.run_id.clone(),
            label,
            Some(&run.row.run_id) == chosen.as_ref(),
        )
    };
    show(&Graph {
        frame,
        head: dag_head(&web, &facts, "graph").await?,
        runs: recent.iter().map(choice).collect(),
        run: run.map(|run| {
            (
                text::run_url(&dag_id, &run.row.run_id),
                run.row.run_id,
                run.row.state.into(),
            )
        }),
        drawn,
        nodes,
        n_tasks,
    })
}

fn nodes(
    dag: Option<&Dag>,
    run: Option<&RunRecord>,
    dag_id: &str,
    state: impl Fn(&str) -> (TaskState, MapIndex),
) -> Vec<Node> {
    let Some(dag) = dag else { return Vec::new() };
    let node = |(at, task): (usize, &tidemill_model::Task)| {
        let title = text::inert(task.display_name.as_deref().unwrap_or(&task.id));
        let above = dag.graph.upstream(TaskIndex(at as u32));
        let mut waits: Vec<String> = above
            .iter()
            .take(8)
            .map(|up| waited_for(dag, *up, TaskIndex(at as u32)))
            .collect();
        if above.len() > 8 {
            waits.push("…".to_string());
        }
        Node {
            label: text::cut(&title, 28),
            title,
            url: match run {
                Some(run) => text::task_url(dag_id, &run.row.run_id, &task.id, state(&task.id).1.0),
                None => format!("{}/code#L{}", text::dag_url(dag_id), task.line),
            },
            badge: state(&task.id).0.into(),
            operator: task.operator.name(),
            rule: task.trigger_rule.name().replace('_', " "),
            waits_for: waits.join(", "),
            x: String::new(),
            y: String::new(),
            width: String::new(),
        }
    };
    dag.tasks
        .iter()
        .enumerate()
        .take(LIST_MAX)
        .map(node)
        .collect()
}

/// Draws, and writes the places into the nodes.
fn drawn(dag: &Dag, nodes: &mut [Node]) -> Option<Drawn> {
    if dag.tasks.is_empty() {
        return None;
    }
    let widths: Vec<f64> = nodes
        .iter()
        .map(|node| 46.0 + node.label.chars().count() as f64 * 7.6)
        .collect();
    let drawing = layout::draw(&dag.graph, &widths)?;
    for (node, (x, y, width)) in nodes.iter_mut().zip(&drawing.boxes) {
        node.x = format!("{x:.1}");
        node.y = format!("{y:.1}");
        node.width = format!("{width:.1}");
    }
    let (labels, right) = labels(dag, &drawing.edges);
    Some(Drawn {
        width: format!("{:.0}", drawing.width.max(right)),
        height: format!("{:.0}", drawing.height),
        edges: drawing.edges.iter().map(|points| curve(points)).collect(),
        labels,
    })
}

/// A task that is waited for, with what people call the edge.
fn waited_for(dag: &Dag, upstream: TaskIndex, own: TaskIndex) -> String {
    let id = &dag.task(upstream).id;
    match dag.graph.label(upstream, own) {
        None => id.clone(),
        Some(label) => format!("{id} ({})", text::inert(label)),
    }
}

/// The labels of edges, each on the last piece of its line, and how far they reach to the right.
fn labels(dag: &Dag, lines: &[Vec<(f64, f64)>]) -> (Vec<EdgeLabel>, f64) {
    let mut right = 0.0f64;
    let mut labels = Vec::new();
    for ((from, to), line) in dag.graph.edges().zip(lines) {
        let (Some(label), [.., above, below]) = (dag.graph.label(from, to), line.as_slice()) else {
            continue;
        };
        let text = text::cut(&text::inert(label), LABEL_MAX);
        let half = text.chars().count() as f64 * LETTER / 2.0 + 2.0;
        let x = f64::midpoint(above.0, below.0).max(half);
        right = right.max(x + half);
        labels.push(EdgeLabel {
            text,
            x: format!("{x:.1}"),
            y: format!("{:.1}", f64::midpoint(above.1, below.1) + 4.0),
        });
    }
    (labels, right)
}

/// A smooth line through points that only go down.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (step, &(x, y)) in points.iter().enumerate() {
        if step == 0 {
            let _ = write!(path, "M{x:.1} {y:.1}");
            continue;
        }
        let (from_x, from_y) = points[step - 1];
        if y - from_y <= BOX + 0.1 {
            let _ = write!(path, "L{x:.1} {y:.1}");
        } else {
            let middle = (y + from_y) / 2.0;
            let _ = write!(
                path,
                "C{from_x:.1} {middle:.1} {x:.1} {middle:.1} {x:.1} {y:.1}"
            );
        }
    }
    path
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::tests::fixture;

    #[test]
    fn a_long_label_reaches_out_of_the_drawing_on_no_side() {
        let mut dag = fixture::dag("x", &["a", "b"], vec![(0, 1)]);
        let edge = (TaskIndex(0), TaskIndex(1));
        let long = "when all that came is clean and none is late";
        dag.graph = dag.graph.with_labels([(edge, long.into())].into());
        let (labels, right) = labels(&dag, &[vec![(20.0, 42.0), (20.0, 76.0)]]);
        let [label] = labels.as_slice() else {
            panic!("{} labels", labels.len());
        };
        let x: f64 = label.x.parse().unwrap();
        let half = LETTER * LABEL_MAX as f64 / 2.0;
        assert!(x - half >= 0.0 && x + half <= right, "{x} {right}");
        assert_eq!(label.y, "63.0");
    }
}
