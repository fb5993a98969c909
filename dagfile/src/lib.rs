//! The file format: text in, a [`Dag`] that cannot be wrong or everything that is wrong out.
//!
//! Knows no files, no clock, no store. Reading folders is the daemon's.

mod absent;
mod codes;
mod diagnostic;
mod flow;
mod kafka_keys;
mod keys;
mod lint;
mod names;
mod normal;
mod operator;
mod parse;
mod place;
mod refs;
mod render;
mod resolve;
mod schema;
mod streams;
mod suggest;
mod task_use;
mod undated;
mod upstream;
mod uses;
mod walk;

pub use codes::{codes, explain};
pub use diagnostic::{Diagnostic, Report, Severity, duplicate_id, reports};
pub use render::render_text;
pub use schema::schema;

use parse::{Table, Value};
use std::ops::Range;
use tidemill_model::Dag;
use toml::de::DeValue;
use walk::common::Common;
use walk::{Place, Walk};

/// The operators that run inside a worker, by their key.
pub fn in_process() -> impl Iterator<Item = &'static str> {
    let operators = keys::TASK.iter().filter(|key| key.is_operator);
    operators.filter_map(|key| match key.kind {
        keys::Kind::Operator(operator) => Some(operator.name),
        _ => None,
    })
}

/// What a file became.
#[derive(Debug)]
pub struct Loaded {
    /// The DAG, unless there are errors.
    pub dag: Option<Dag>,
    /// Everything that is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// The SHA-256 of the normalised definition, hexadecimal; of the text when it has errors.
    pub hash: String,
    /// Files of the DAG's folder that keys name (scripts), relative paths.
    pub files: Vec<String>,
    /// Where the DAG's id stands, in bytes: its `id`, or `[dag]`, or the start of the file.
    pub id_span: Range<usize>,
}

/// Reads a file's bytes. `stem` is the name that the DAG has when the file gives none.
pub fn load(bytes: &[u8], stem: &str) -> Loaded {
    match parse::text(bytes) {
        Ok(source) => load_text(source, stem),
        Err(one) => Loaded {
            dag: None,
            diagnostics: vec![*one],
            hash: normal::hex(bytes),
            files: Vec::new(),
            id_span: 0..0,
        },
    }
}

fn load_text(source: &str, stem: &str) -> Loaded {
    let (root, found) = parse::tree(source);
    let has_syntax_errors = !found.is_empty();
    let is_too_deep = found.iter().any(|one| one.code == "TM0006");
    let mut walk = Walk::new(source, found);
    let mut id_span = 0..0;
    let mut dag = None;
    if !is_too_deep {
        let n_syntax = walk.diagnostics.len();
        let parts = walk_file(&mut walk, root.get_ref(), stem);
        id_span = parts.dag.id_span.clone();
        if has_syntax_errors {
            keep_certain(&mut walk, n_syntax);
        } else {
            dag = resolve::resolve(&mut walk, root.get_ref(), parts);
        }
    }
    if walk.n_dropped > 0 {
        let message = format!("{} more mistakes are not shown", walk.n_dropped);
        let end = source.len();
        walk.diagnostics
            .push(Diagnostic::error("TM0009", end..end, message));
    }
    let dag = dag.filter(|_| !walk.has_errors());
    let hash = if dag.is_some() {
        normal::hash(root.get_ref())
    } else {
        normal::hex(source.as_bytes())
    };
    walk.diagnostics.sort_by_key(|one| one.span.start);
    Loaded {
        dag,
        diagnostics: walk.diagnostics,
        hash,
        files: walk.files,
        id_span,
    }
}

/// Beside syntax errors only those mistakes are shown that cannot be their consequence.
fn keep_certain(walk: &mut Walk, n_syntax: usize) {
    let bad_lines: Vec<u32> = walk.diagnostics[..n_syntax]
        .iter()
        .map(|one| walk.lines.line(one.span.start))
        .collect();
    let certain = [
        "TM0104", "TM0105", "TM0106", "TM0120", "TM0121", "TM0130", "TM0132", "TM0190",
    ];
    let mut at = 0;
    let lines = &walk.lines;
    walk.diagnostics.retain(|one| {
        at += 1;
        at <= n_syntax
            || (certain.contains(&one.code) && !bad_lines.contains(&lines.line(one.span.start)))
    });
}

fn walk_file(walk: &mut Walk, root: &Table, stem: &str) -> resolve::Parts {
    walk.check_keys(root, &Place::Root, keys::ROOT);
    let empty = Table::new();
    let header = root
        .get_key_value("dag")
        .map_or(0..0, |(key, _)| key.span());
    let dag_table = walk.table(root, "dag").unwrap_or(&empty);
    let dag = walk.dag(dag_table, header, stem);
    let defaults = match walk.table(root, "default_args") {
        Some(table) => walk.default_args(table, &Place::DefaultArgs),
        None => Common::default(),
    };
    let is_scheduled = !dag.schedule.is_manual() || dag.asset_schedule.is_some();
    let params = walk.table(root, "params").unwrap_or(&empty);
    let params = walk.params(params, is_scheduled);
    let assets = walk.table(root, "assets").unwrap_or(&empty);
    let assets = walk.assets(assets);
    let groups = walk.table(root, "groups").unwrap_or(&empty);
    let groups = walk.groups(groups);
    let triggers = walk.table(root, "triggers").unwrap_or(&empty);
    let (triggers, events) = walk.triggers(triggers, &dag);
    let tasks = match root.get("tasks") {
        Some(value) if matches!(value.get_ref(), DeValue::Array(_)) => {
            tasks_as_list(walk, value);
            Vec::new()
        }
        Some(_) => walk
            .table(root, "tasks")
            .map(|table| walk.tasks(table))
            .unwrap_or_default(),
        None => Vec::new(),
    };
    let has_no_tasks = root
        .get("tasks")
        .is_none_or(|value| matches!(value.get_ref(), DeValue::Table(table) if table.is_empty()));
    if has_no_tasks {
        let one = Diagnostic::error("TM0102", dag.id_span.clone(), "the DAG has no tasks");
        walk.report(one.help("add one: [tasks.NAME] with `shell = \"…\"`"));
    }
    resolve::Parts {
        dag,
        defaults,
        params,
        assets,
        groups,
        triggers,
        events,
        tasks,
    }
}

/// `[[tasks]]`, as other formats have it.
fn tasks_as_list(walk: &mut Walk, value: &Value) {
    let message = "tasks have their names in their headers: [tasks.NAME], not [[tasks]]";
    walk.report(
        Diagnostic::error("TM0101", value.span(), message)
            .label("a list")
            .help("write [tasks.NAME] for each task"),
    );
}

#[cfg(test)]
mod tests;
