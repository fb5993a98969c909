//! What templates use of other tasks: is the task there, and does it have that?

use crate::diagnostic::Diagnostic;
use crate::names::{Names, Node};
use crate::refs::range_of;
use crate::suggest::nearest;
use crate::walk::common::Common;
use crate::walk::task::OperatorKey;
use crate::walk::{Text, Walk};
use std::ops::Range;
use tidemill_model::dag::ShellOutput;
use tidemill_template::{TaskUse, TaskValue};

/// The task that a template uses, if it is there and has what is used; else that is reported.
pub(crate) fn checked_use(
    walk: &mut Walk,
    names: &Names,
    commons: &[Common],
    text: &Text,
    one: &TaskUse,
) -> Option<u32> {
    let Some(Node::Task(upstream)) = names.node(&one.task.name) else {
        let unknown = unknown_task(walk, names, text, one);
        walk.report(unknown);
        return None;
    };
    let task = &names.tasks[upstream as usize];
    let used = Used {
        name: &one.task.name,
        place: &one.task.range,
        operator: &task.operator,
        is_mapped: task.mapping.is_some(),
        common: &commons[upstream as usize],
    };
    let Some(missing) = used.missing(&one.value) else {
        return Some(upstream);
    };
    let span = range_of(walk, text, &missing.range);
    let diagnostic = Diagnostic::error("TM0206", span, missing.message);
    walk.report(match missing.near {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label("not there").help(missing.help),
    });
    None
}

fn unknown_task(walk: &Walk, names: &Names, text: &Text, one: &TaskUse) -> Diagnostic {
    let name = &one.task.name;
    let span = range_of(walk, text, &one.task.range);
    let message = format!("`{name}` is not a task of this DAG");
    let diagnostic = Diagnostic::error("TM0203", span.clone(), message);
    let near = nearest(name, names.tasks.iter().map(|task| task.id.as_str()));
    let is_bare = walk.source.get(span.clone()) == Some(name);
    match near {
        Some(near) if is_bare => diagnostic
            .label(format!("did you mean `{near}`?"))
            .patch(span, near),
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label("unknown task"),
    }
}

/// A task of which something is used.
struct Used<'t> {
    name: &'t str,
    /// Where the template names it.
    place: &'t Range<usize>,
    operator: &'t OperatorKey,
    is_mapped: bool,
    common: &'t Common,
}

/// What a task does not have.
struct Missing<'t> {
    message: String,
    range: Range<usize>,
    near: Option<&'t str>,
    help: String,
}

impl<'t> Used<'t> {
    /// What is to be said where it does not have this value.
    fn missing(&self, value: &TaskValue) -> Option<Missing<'t>> {
        let name = self.name;
        let declare = format!("declare it under `outputs` of [tasks.{name}]");
        let (message, range, near, help) = match value {
            TaskValue::State => return None,
            TaskValue::Output if self.has_output() => return None,
            TaskValue::File if self.is_mapped => return None,
            TaskValue::Key(key) if self.may_have(&key.name) => return None,
            TaskValue::Output => {
                let message = format!("task `{name}` keeps no output");
                (message, self.place, None, declare)
            }
            TaskValue::File => {
                let message = format!("task `{name}` is not mapped: it has no `outputs_file`");
                let help = format!("take `tasks.{name}.output`, which is one value");
                (message, self.place, None, help)
            }
            TaskValue::Key(key) => {
                let known = self.common.outputs.iter().map(|(key, _)| key.as_str());
                let near = nearest(&key.name, known);
                let message = format!("task `{name}` has no output `{}`", key.name);
                (message, &key.range, near, declare)
            }
            TaskValue::Unknown(part) => {
                let known = ["output", "outputs", "outputs_file", "state", "states"];
                let near = nearest(&part.name, known);
                let message = format!(
                    "a task has no `{}`: it has output, outputs.KEY, state and states, and outputs_file where it is mapped",
                    part.name
                );
                (message, &part.range, near, declare)
            }
        };
        Some(Missing {
            message,
            range: range.clone(),
            near,
            help,
        })
    }

    fn has_output(&self) -> bool {
        let leaves_none = matches!(
            self.operator,
            OperatorKey::Empty | OperatorKey::LatestOnly | OperatorKey::Wait(_)
        );
        !leaves_none
            && self.common.do_xcom_push != Some(false)
            && self.common.shell.output != Some(ShellOutput::None)
    }

    /// Is a key declared, or may the command write it to `$TIDEMILL_OUTPUT`?
    fn may_have(&self, key: &str) -> bool {
        if let OperatorKey::Wait(keys) = self.operator {
            return keys.keeps().contains(&key);
        }
        let (common, shell) = (self.common, &self.common.shell);
        let command = shell.command.as_ref();
        let writes = command.is_some_and(|text| text.value.contains("TIDEMILL_OUTPUT"));
        common.do_xcom_push != Some(false)
            && (writes
                || shell.script.is_some()
                || common.outputs.iter().any(|(known, _)| known == key))
    }
}
