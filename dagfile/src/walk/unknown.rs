//! Keys that are not known where they stand, and what was probably meant.

use super::{Place, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys::{self, ALIASES, Key};
use crate::parse::Value;
use crate::suggest::nearest;
use std::ops::Range;
use toml::de::DeValue;

impl Walk<'_> {
    pub(crate) fn unknown_key(
        &mut self,
        span: Range<usize>,
        name: &str,
        value: &Value,
        place: &Place,
        known: &[Key],
    ) {
        if self.is_full() {
            self.n_dropped += 1;
            return;
        }
        let one = self
            .other_name(span.clone(), name, known)
            .or_else(|| self.of_parent(span.clone(), name, place))
            .or_else(|| dotted_task(span.clone(), name, value, place))
            .unwrap_or_else(|| not_known(span, name, place, known));
        self.report(one);
    }

    /// A word of another tool.
    fn other_name(&self, span: Range<usize>, name: &str, known: &[Key]) -> Option<Diagnostic> {
        let is_known = |(_, here, _): &&(&str, &str, &str)| keys::find(known, here).is_some();
        let (_, here, why) = ALIASES
            .iter()
            .filter(|(theirs, ..)| *theirs == name)
            .find(is_known)?;
        let one = Diagnostic::error(
            "TM0105",
            span.clone(),
            format!("`{name}` is called `{here}` here"),
        )
        .label(if why.is_empty() { "another name" } else { why })
        .help("rename the key")
        .patch(span, *here);
        Some(one)
    }

    /// A key of the table around this one: in TOML the last header takes it.
    fn of_parent(&self, span: Range<usize>, name: &str, place: &Place) -> Option<Diagnostic> {
        let (parent, parent_keys) = match place {
            Place::Shell(parent) => match parent.as_ref() {
                Place::Task(_) => (parent.to_string(), keys::TASK),
                _ => (parent.to_string(), keys::DEFAULT_ARGS),
            },
            Place::Operator(parent, _) => (parent.to_string(), keys::TASK),
            Place::Kafka(name) => (Place::Trigger(name.clone()).to_string(), keys::TRIGGER),
            Place::Schedule | Place::Concurrency => ("[dag]".to_string(), keys::DAG),
            Place::Dag => ("the top of the file".to_string(), keys::ROOT),
            _ => return None,
        };
        keys::find(parent_keys, name)?;
        let header = format!("{place}");
        let above = self.source[..span.start]
            .rfind(&header)
            .map(|at| self.lines.line(at));
        let help = match above {
            Some(line) => format!("move it above line {line}, where {header} begins"),
            None => format!("move it to {parent}"),
        };
        Some(
            Diagnostic::error(
                "TM0106",
                span,
                format!("`{name}` belongs to {parent}, not to {place}"),
            )
            .label(format!("a key of {parent}"))
            .help(help),
        )
    }
}

/// `[tasks.load.users]` is a key `users` of the task `load`, not a task.
fn dotted_task(span: Range<usize>, name: &str, value: &Value, place: &Place) -> Option<Diagnostic> {
    let Place::Task(task) = place else {
        return None;
    };
    let DeValue::Table(table) = value.get_ref() else {
        return None;
    };
    let holds_operator = keys::operators()
        .chain(["operator"])
        .any(|key| table.contains_key(key));
    holds_operator.then(|| {
        Diagnostic::error(
            "TM0104",
            span,
            format!("a task's name holds no dot: this is a key `{name}` of the task `{task}`"),
        )
        .label("not a task")
        .help(format!(
            "write [tasks.{task}_{name}], and group = \"{task}\" to keep them together"
        ))
    })
}

fn not_known(span: Range<usize>, name: &str, place: &Place, known: &[Key]) -> Diagnostic {
    let of = match place {
        Place::Root => "at the top of the file".to_string(),
        Place::Task(task) => format!("in task `{task}`"),
        place => format!("in {place}"),
    };
    let label = match place {
        Place::Root => "not a table of a DAG file".to_string(),
        place => format!("not a key of {place}"),
    };
    let one = Diagnostic::error("TM0104", span.clone(), format!("unknown key `{name}` {of}"))
        .label(label);
    let home = [(keys::DAG, "[dag]"), (keys::TASK, "a task")];
    match nearest(name, known.iter().map(|key| key.name)) {
        Some(near) => one
            .help(format!("did you mean `{near}`?"))
            .patch(span, near),
        None => match home
            .iter()
            .find(|(keys, _)| keys::find(keys, name).is_some())
        {
            Some((_, home)) => one.help(format!("it is a key of {home}")),
            None if known.len() <= 12 => {
                let names: Vec<&str> = known.iter().map(|key| key.name).collect();
                one.help(format!("there are {}", names.join(", ")))
            }
            None => one,
        },
    }
}
