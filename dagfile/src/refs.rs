//! Templates of tasks: what they refer to is there, and upstream.

use crate::absent;
use crate::diagnostic::Diagnostic;
use crate::names::Names;
use crate::operator::Settings;
use crate::place::offset_in_source;
use crate::suggest::{nearest, unknown_param};
use crate::task_use::checked_use;
use crate::undated::Undated;
use crate::uses;
use crate::walk::alert::AlertKeys;
use crate::walk::common::Common;
use crate::walk::task::{OperatorKey, TaskKeys};
use crate::walk::{Text, Walk};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use tidemill_model::Uses;
use tidemill_model::dag::Param;
use tidemill_template::{N_INSTANCES, Named, References, TaskValue, Use, check, is_template};

/// Where a template stands, as far as it matters for what it may say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A shell reads the result as code.
    Code,
    /// The task's work has been done, and has left what has these names.
    Output(&'static [&'static str]),
    Plain,
}

/// What the work of a shell task leaves. Other operators without settings of their own leave
/// nothing, and are not told apart here.
const SHELL_RESULTS: &[&str] = &["stdout", "result", "exit_code"];

/// A value of `upstream` that a template of `task` uses.
pub(crate) struct Read {
    pub(crate) task: u32,
    pub(crate) upstream: u32,
    /// Is it the file with the outputs of all instances?
    pub(crate) is_file: bool,
    pub(crate) span: Range<usize>,
}

/// Checks every template of every task, and lists which tasks they read and what each task uses
/// of what stands outside of the file.
pub(crate) fn check_all(
    walk: &mut Walk,
    names: &Names,
    commons: &[Common],
    params: &[Param],
    has_triggers: bool,
    undated: Undated,
) -> (Vec<Read>, Vec<Uses>) {
    let mut checker = Checker {
        seen: HashMap::new(),
        params,
        has_triggers,
        undated,
    };
    let mut reads = Vec::new();
    let mut uses = vec![Uses::default(); commons.len()];
    for (at, (common, task)) in commons.iter().zip(names.tasks).enumerate() {
        for (text, role) in templates(common, task) {
            let Some(found) = checker.references(walk, text, role) else {
                continue;
            };
            for one in &found.outside {
                uses::take(walk, text, one, &mut uses[at]);
            }
            for name in &found.looked_up {
                let is_count = name.name == N_INSTANCES;
                uses[at].n_instances |= is_count;
                uses[at].last_success |= !is_count;
            }
            for one in &found.tasks {
                let span = range_of(walk, text, &one.task.range);
                if let Some(upstream) = checked_use(walk, names, commons, text, one) {
                    reads.push(Read {
                        task: at as u32,
                        upstream,
                        is_file: one.value == TaskValue::File,
                        span,
                    });
                }
            }
        }
    }
    (reads, uses)
}

/// What templates of an alert see besides the run and the task.
const ALERT_NAMES: &[&str] = &["exception", "reason", "state", "url"];

/// Checks the templates of alerts: they are rendered by the scheduler, when all is over.
pub(crate) fn check_alerts<'k>(
    walk: &mut Walk,
    of_dag: impl Iterator<Item = &'k AlertKeys>,
    commons: &'k [Common],
    params: &[Param],
) {
    let mut checker = Checker {
        seen: HashMap::new(),
        params,
        has_triggers: false,
        undated: Undated::default(),
    };
    let all = commons.iter().flat_map(|common| &common.alerts);
    let all = all.flat_map(|(_, alerts)| alerts);
    for text in all.chain(of_dag).flat_map(|alert| &alert.texts) {
        let Some(found) = checker.references(walk, text, Role::Output(ALERT_NAMES)) else {
            continue;
        };
        uses::refuse_all(walk, text, &found);
        for one in &found.tasks {
            let span = range_of(walk, text, &one.task.range);
            let message = "an alert is told what has happened, not the values of tasks";
            walk.report(Diagnostic::error("TM0210", span, message).label("not known there"));
        }
    }
}

/// Checks a template that is rendered when a run is made, before any task.
pub(crate) fn check_run_text(walk: &mut Walk, text: &Text, params: &[Param]) {
    if !is_template(&text.value) {
        return;
    }
    let mut checker = Checker {
        seen: HashMap::new(),
        params,
        has_triggers: false,
        undated: Undated::default(),
    };
    let Some(found) = checker.references(walk, text, Role::Plain) else {
        return;
    };
    uses::refuse_all(walk, text, &found);
    for one in &found.tasks {
        let span = range_of(walk, text, &one.task.range);
        let message = "a run's key is read before any of its tasks has run";
        walk.report(Diagnostic::error("TM0210", span, message).label("not known yet"));
    }
}

/// The texts of a task that may hold templates.
fn templates<'c>(common: &'c Common, task: &'c TaskKeys) -> impl Iterator<Item = (&'c Text, Role)> {
    let shell = &common.shell;
    let of_map = task.mapping.iter().flat_map(|map| &map.templates);
    let of_operator = match &task.operator {
        OperatorKey::Branch(branch) => branch.templates(),
        OperatorKey::ShortCircuit(gate) => vec![&gate.condition],
        OperatorKey::Wait(wait) => wait.templates.iter().collect(),
        OperatorKey::Empty | OperatorKey::LatestOnly => Vec::new(),
        OperatorKey::Shell | OperatorKey::InProcess(_) | OperatorKey::None => Vec::new(),
    };
    let (results, settings) = match task.operator {
        OperatorKey::InProcess(operator) => {
            let own = common
                .settings
                .iter()
                .find(|(name, _)| *name == operator.name);
            (operator.results, own.map(|(_, settings)| settings))
        }
        _ => (SHELL_RESULTS, None),
    };
    let of_settings = settings
        .into_iter()
        .flat_map(Settings::texts)
        .map(move |one| {
            let role = if one.sees_results {
                Role::Output(results)
            } else {
                Role::Plain
            };
            (&one.text, role)
        });
    let extras = common
        .outlets
        .iter()
        .flatten()
        .flat_map(|outlet| &outlet.extra);
    let plain = common
        .run_if
        .iter()
        .chain(&common.skip_if)
        .chain(common.env.iter().map(|(_, text)| text));
    let plain = plain.chain(shell.args.iter().flatten()).chain(&shell.stdin);
    let plain = plain.chain(of_operator).chain(of_map);
    plain
        .map(|text| (text, Role::Plain))
        .chain(shell.command.iter().map(|text| (text, Role::Code)))
        .chain(
            common
                .outputs
                .iter()
                .map(move |(_, text)| (text, Role::Output(results))),
        )
        .chain(extras.map(move |(_, text)| (text, Role::Output(results))))
        .chain(of_settings)
        .filter(|(text, _)| is_template(&text.value))
}

struct Checker<'p> {
    /// By the place of the text: a default is checked once for all tasks.
    seen: HashMap<usize, Option<Rc<References>>>,
    params: &'p [Param],
    has_triggers: bool,
    undated: Undated,
}

impl Checker<'_> {
    fn references(&mut self, walk: &mut Walk, text: &Text, role: Role) -> Option<Rc<References>> {
        if let Some(known) = self.seen.get(&text.span.start) {
            return known.clone();
        }
        let found = match check(&text.value) {
            Ok(found) => Some(Rc::new(found)),
            Err(err) => {
                let span = err
                    .range
                    .map_or(text.span.clone(), |range| range_of(walk, text, &range));
                let span = if span.is_empty() {
                    text.span.clone()
                } else {
                    span
                };
                walk.report(Diagnostic::error(
                    "TM0201",
                    span,
                    format!("the template cannot be read: {}", err.message),
                ));
                None
            }
        };
        if let Some(found) = &found {
            absent::check(walk, text, found);
            self.check_names(walk, text, role, found);
            self.check_params(walk, text, role, found);
            self.undated.check(walk, text, found);
        }
        self.seen.insert(text.span.start, found.clone());
        found
    }

    fn check_names(&self, walk: &mut Walk, text: &Text, role: Role, found: &References) {
        for name in &found.unknown_names {
            let known = tidemill_template::names();
            self.unknown(
                walk,
                text,
                name,
                "TM0202",
                "a name that templates know",
                known,
            );
        }
        for name in &found.unknown_filters {
            let known = tidemill_template::filters();
            self.unknown(walk, text, name, "TM0207", "a filter", known);
        }
        for name in &found.later_names {
            let span = range_of(walk, text, &name.range);
            walk.not_built(span, &format!("`{}` in a template", name.name));
        }
        for name in &found.result_names {
            let span = range_of(walk, text, &name.range);
            let (message, label) = match role {
                Role::Output(names) if name.name == "result" || names.contains(&&*name.name) => {
                    continue;
                }
                Role::Output(names) => (
                    format!(
                        "`{}` is not what this task's work leaves: it leaves {}",
                        name.name,
                        [&["result"], names].concat().join(", ")
                    ),
                    "not left by it",
                ),
                Role::Code | Role::Plain => (
                    format!(
                        "`{}` is known only in `outputs` and in keys that look at the result",
                        name.name
                    ),
                    "not known yet",
                ),
            };
            walk.report(Diagnostic::error("TM0209", span, message).label(label));
        }
        for (range, message) in &found.unchecked {
            let span = range_of(walk, text, range);
            walk.report(Diagnostic::error("TM0208", span, message.clone()));
        }
    }

    fn unknown<'n>(
        &self,
        walk: &mut Walk,
        text: &Text,
        name: &Named,
        code: &'static str,
        what: &str,
        known: impl Iterator<Item = &'n str>,
    ) {
        let span = range_of(walk, text, &name.range);
        let one = Diagnostic::error(code, span.clone(), format!("`{}` is not {what}", name.name));
        walk.report(match nearest(&name.name, known) {
            Some(near) => one
                .label(format!("did you mean `{near}`?"))
                .patch(span, near),
            None => one.label("unknown"),
        });
    }

    fn check_params(&self, walk: &mut Walk, text: &Text, role: Role, found: &References) {
        for one in &found.params {
            let declared = self.params.iter().find(|param| param.name == one.name);
            match declared {
                None => {
                    let span = range_of(walk, text, &one.range);
                    walk.report(unknown_param(&one.name, "params.", span, self.params));
                }
                Some(param) if role == Role::Code && !one.is_safe && !is_harmless(param) => {
                    untrusted(walk, text, one)
                }
                Some(_) => {}
            }
        }
        for one in &found.trigger {
            if !self.has_triggers {
                let span = range_of(walk, text, &one.range);
                let message = "`trigger` is known only in a DAG with [triggers]";
                walk.report(Diagnostic::error("TM0213", span, message).label("no trigger"));
            } else if role == Role::Code && !one.is_safe {
                untrusted(walk, text, one);
            }
        }
        for one in found
            .conf
            .iter()
            .filter(|one| role == Role::Code && !one.is_safe)
        {
            untrusted(walk, text, one);
        }
    }
}

/// Values of these types hold no shell syntax that the file's author did not write.
fn is_harmless(param: &Param) -> bool {
    let of_type = |name: &serde_json::Value| {
        matches!(
            name.as_str(),
            Some("integer" | "number" | "boolean" | "null")
        )
    };
    let by_type = match param.schema.get("type") {
        Some(serde_json::Value::Array(types)) => types.iter().all(of_type),
        Some(name) => of_type(name),
        None => false,
    };
    by_type
        || param
            .schema
            .get("enum")
            .is_some_and(|choices| choices.is_array())
}

fn untrusted(walk: &mut Walk, text: &Text, one: &Use) {
    let span = range_of(walk, text, &one.range);
    let shown = walk
        .source
        .get(span.clone())
        .unwrap_or(&one.name)
        .to_string();
    let end = span.end;
    // Between quotes the filter would quote twice, so no patch is offered there.
    let before =
        text.value[..one.range.start.min(text.value.len())].trim_end_matches([' ', '{', '-']);
    let is_quoted = before.ends_with(['"', '\'']);
    let warning = Diagnostic::warning("TM0310", span, "untrusted value in a shell command")
        .label(format!("`{shown}` may contain shell syntax"))
        .help("pass it in `env` and write \"$NAME\", or put it through `quote`");
    walk.report(if is_quoted {
        warning
    } else {
        warning.patch(end..end, " | quote")
    });
}

/// A range of a text's value as a place in the file.
pub(crate) fn range_of(walk: &Walk, text: &Text, range: &Range<usize>) -> Range<usize> {
    offset_in_source(walk.source, &text.span, range.start)
        ..offset_in_source(walk.source, &text.span, range.end)
}
