//! `[tasks]`.

use super::common::{Common, ShellKeys};
use super::flow::{BranchKeys, GateKeys};
use super::map::MapKeys;
use super::value::is_id;
use super::wait::WaitKeys;
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys::{self, Kind, PLAIN_OPERATORS};
use crate::operator::OperatorKeys;
use crate::parse::{Table, Value};
use crate::suggest::nearest;
use std::ops::Range;
use toml::de::DeValue;

/// The most tasks of a DAG.
pub(crate) const TASKS_MAX: usize = 200_000;

/// A name in `depends_on`.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
    /// What people call the edge.
    pub(crate) label: Option<String>,
}

impl TaskKeys {
    /// The task that it goes in step with, which it waits for without a word in `depends_on`.
    pub(crate) fn each(&self) -> Option<&Upstream> {
        self.mapping.as_ref()?.each.as_ref()
    }
}

/// What `[tasks.NAME]` says, without any defaults.
pub(crate) struct TaskKeys {
    pub(crate) id: String,
    pub(crate) span: Range<usize>,
    pub(crate) depends_on: Vec<Upstream>,
    /// The value of `depends_on`, for patches.
    pub(crate) depends_on_span: Option<Range<usize>>,
    pub(crate) group: Option<Text>,
    pub(crate) role: RoleKeys,
    pub(crate) operator: OperatorKey,
    pub(crate) mapping: Option<MapKeys>,
    pub(crate) common: Common,
}

/// What a task says about being a setup or a teardown task.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoleKeys {
    pub(crate) is_setup: bool,
    pub(crate) is_teardown: bool,
    pub(crate) fails_run: bool,
    /// The setup tasks of a teardown task; they are among its upstream tasks too.
    pub(crate) setups: Vec<Upstream>,
    /// Where its own `trigger_rule` stands.
    pub(crate) rule_span: Option<Range<usize>>,
}

/// Which operator a task has, and its settings where they are not common keys.
#[derive(Clone, Debug)]
pub(crate) enum OperatorKey {
    Empty,
    LatestOnly,
    Shell,
    Branch(BranchKeys),
    ShortCircuit(GateKeys),
    /// One that runs inside the worker; what it says stands in the common keys, over defaults.
    InProcess(&'static OperatorKeys),
    Wait(WaitKeys),
    /// One that is not built, or none: reported, and the DAG is not made.
    None,
}

impl Walk<'_> {
    /// Reads `[tasks]`.
    pub(crate) fn tasks(&mut self, table: &Table) -> Vec<TaskKeys> {
        let mut tasks = Vec::with_capacity(table.len().min(TASKS_MAX));
        if table.len() > TASKS_MAX {
            let span = table
                .iter()
                .nth(TASKS_MAX)
                .map_or(0..0, |(key, _)| key.span());
            let message = format!(
                "the DAG has {} tasks; the limit is {TASKS_MAX}",
                table.len()
            );
            self.report(
                Diagnostic::error("TM0007", span, message).help("split it into several DAGs"),
            );
            return tasks;
        }
        for (key, value) in table {
            let id = key.get_ref().to_string();
            if !is_id(&id) {
                let message = format!("`{id}` cannot be the name of a task");
                self.report(
                    Diagnostic::error("TM0107", key.span(), message)
                        .label("A-Z a-z 0-9 _ and - only"),
                );
            }
            match value.get_ref() {
                DeValue::String(text) => {
                    let command = Text {
                        value: text.to_string(),
                        span: value.span(),
                    };
                    tasks.push(short_task(id, key.span(), command));
                }
                DeValue::Table(inner) => tasks.push(self.task(id, key.span(), inner)),
                _ => self.wrong_type(&id, value, "a command or a table"),
            }
        }
        tasks
    }

    fn task(&mut self, id: String, span: Range<usize>, table: &Table) -> TaskKeys {
        let place = Place::Task(id.clone());
        self.check_keys(table, &place, keys::TASK);
        let operator = self.operator(table, &span, &id, &place);
        let role = self.role(table, &id);
        let mapping = self.mapping(table, &id);
        let mut common = self.common(table);
        if let Some(value) = table.get("shell") {
            common.shell = self.shell(value, &place);
        }
        if let OperatorKey::InProcess(operator) = operator
            && let Some(value) = table.get(operator.name)
        {
            let settings = self.operator_settings(value, operator, &place);
            common.settings.push((operator.name, settings));
        }
        TaskKeys {
            id,
            span,
            depends_on: [self.depends_on(table), role.setups.clone()].concat(),
            depends_on_span: table.get("depends_on").map(Value::span),
            group: self.text(table, "group"),
            role,
            operator,
            mapping,
            common,
        }
    }

    fn role(&mut self, table: &Table, id: &str) -> RoleKeys {
        let setups = self.one_or_many(table, "setups").unwrap_or_default();
        let mut is = |name: &str| self.boolean(table, name).unwrap_or(false);
        let role = RoleKeys {
            is_setup: is("setup"),
            is_teardown: is("teardown"),
            fails_run: is("on_failure_fail_dagrun"),
            setups: setups
                .into_iter()
                .map(|text| Upstream {
                    name: text.value,
                    span: text.span,
                    label: None,
                })
                .collect(),
            rule_span: table.get("trigger_rule").map(Value::span),
        };
        let span = |name: &str| table.get(name).map_or(0..0, Value::span);
        if role.is_setup && role.is_teardown {
            let message = format!("task `{id}` is a setup and a teardown task");
            self.report(
                Diagnostic::error("TM0145", span("teardown"), message)
                    .other(span("setup"), "here too")
                    .help("make two tasks of it"),
            );
        }
        for name in ["setups", "on_failure_fail_dagrun"] {
            if table.contains_key(name) && !role.is_teardown {
                let message = format!("`{name}` is for teardown tasks");
                self.report(
                    Diagnostic::error("TM0145", span(name), message).help("add `teardown = true`"),
                );
            }
        }
        role
    }

    fn operator(
        &mut self,
        table: &Table,
        span: &Range<usize>,
        id: &str,
        place: &Place,
    ) -> OperatorKey {
        let written: Vec<(&str, Range<usize>)> = table
            .iter()
            .filter(|(key, _)| keys::is_operator(key.get_ref()))
            .map(|(key, _)| (key.get_ref().as_ref(), key.span()))
            .collect();
        if let [(_, first), (_, second), ..] = written.as_slice() {
            let message = format!("task `{id}` has two operators");
            let mut one =
                Diagnostic::error("TM0111", second.clone(), message).label("second operator");
            one = one.other(first.clone(), "first operator");
            self.report(one.help("a task does one thing: make two tasks of it"));
            return OperatorKey::None;
        }
        let by_key = written.first().map(|(name, _)| *name);
        let by_name = self.text(table, "operator");
        match (by_key, by_name) {
            (Some(key), Some(name)) if name.value != key => {
                let message = format!("`operator` says `{}`, but the task has `{key}`", name.value);
                self.report(
                    Diagnostic::error("TM0112", name.span, message).help("take `operator` out"),
                );
                OperatorKey::None
            }
            (Some(key), _) => self.operator_key(table, key, place),
            (None, Some(name)) => self.named_operator(name, id),
            (None, None) if table.contains_key("operator") => OperatorKey::None,
            (None, None) => {
                self.no_operator(table, span, id);
                OperatorKey::None
            }
        }
    }

    fn operator_key(&mut self, table: &Table, key: &str, place: &Place) -> OperatorKey {
        let Some(value) = table.get(key) else {
            return OperatorKey::None;
        };
        let found = match key {
            "shell" => Some(OperatorKey::Shell),
            "branch" => self.branch(value, place).map(OperatorKey::Branch),
            "time_sensor" => self.time_sensor(value, place).map(OperatorKey::Wait),
            "external_task_sensor" => self.external(value, place).map(OperatorKey::Wait),
            "trigger_dag_run" => self.trigger(value, place).map(OperatorKey::Wait),
            "short_circuit" => self.gate(value, place).map(OperatorKey::ShortCircuit),
            _ => match keys::find(keys::TASK, key).map(|key| &key.kind) {
                Some(Kind::Operator(operator)) => Some(OperatorKey::InProcess(operator)),
                _ => None, // reported as not built yet
            },
        };
        found.unwrap_or(OperatorKey::None)
    }

    fn no_operator(&mut self, table: &Table, span: &Range<usize>, id: &str) {
        // An unknown key has been reported; it is probably the operator, written wrongly.
        if table
            .iter()
            .any(|(key, _)| keys::find(keys::TASK, key.get_ref()).is_none())
        {
            return;
        }
        let message = format!("task `{id}` does not say what it does");
        self.report(
            Diagnostic::error("TM0110", span.clone(), message)
                .label("no operator")
                .help("add `shell = \"…\"`, or `operator = \"empty\"` for a task that only joins others"),
        );
    }

    fn named_operator(&mut self, name: Text, id: &str) -> OperatorKey {
        match name.value.as_str() {
            "empty" => return OperatorKey::Empty,
            "latest_only" => return OperatorKey::LatestOnly,
            _ => {}
        }
        if keys::is_operator(&name.value) {
            let message = format!(
                "task `{id}` has the operator `{}` without its settings",
                name.value
            );
            self.report(
                Diagnostic::error("TM0110", name.span, message).help(format!(
                    "write the key `{}` instead of `operator`",
                    name.value
                )),
            );
            return OperatorKey::None;
        }
        if name.value.contains('/') {
            self.not_built(name.span, &format!("the operator `{}`", name.value));
            return OperatorKey::None;
        }
        let message = format!("`{}` is not an operator", name.value);
        let one = Diagnostic::error("TM0103", name.span, message);
        let near = nearest(
            &name.value,
            keys::operators().chain(PLAIN_OPERATORS.iter().copied()),
        );
        self.report(match near {
            Some(near) => one.help(format!("did you mean `{near}`?")),
            None => one.help(format!(
                "there are {}, {}",
                PLAIN_OPERATORS.join(", "),
                keys::operators().collect::<Vec<_>>().join(", ")
            )),
        });
        OperatorKey::None
    }

    fn shell(&mut self, value: &Value, place: &Place) -> ShellKeys {
        let table = match value.get_ref() {
            DeValue::String(text) => {
                let command = Text {
                    value: text.to_string(),
                    span: value.span(),
                };
                self.no_empty_command(&command);
                return ShellKeys {
                    command: Some(command),
                    ..ShellKeys::default()
                };
            }
            DeValue::Table(table) => table,
            _ => {
                self.wrong_type("shell", value, "a command or a table");
                return ShellKeys::default();
            }
        };
        self.check_keys(table, &Place::Shell(Box::new(place.clone())), keys::SHELL);
        let keys = self.shell_keys(table);
        match (table.get("command"), table.get("script")) {
            (Some(_), None) => keys
                .command
                .iter()
                .for_each(|command| self.no_empty_command(command)),
            (None, Some(_)) => {}
            (Some(_), Some(script)) => {
                let message = "a shell task has `command` or `script`, not both";
                self.report(
                    Diagnostic::error("TM0113", script.span(), message).label("one too many"),
                );
            }
            (None, None) => {
                let message = "the shell task says neither `command` nor `script`";
                self.report(
                    Diagnostic::error("TM0113", value.span(), message).label("nothing to run"),
                );
            }
        }
        keys
    }

    fn no_empty_command(&mut self, command: &Text) {
        if command.value.trim().is_empty() {
            self.report(
                Diagnostic::error("TM0103", command.span.clone(), "the command is empty")
                    .help("for a task that only joins others write `operator = \"empty\"`"),
            );
        }
    }

    /// `depends_on`: a name, or a list of names and of tables with `task` and `label`.
    pub(crate) fn depends_on(&mut self, table: &Table) -> Vec<Upstream> {
        let Some(value) = table.get("depends_on") else {
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| self.upstream(item))
                .collect(),
            DeValue::String(_) | DeValue::Table(_) => self.upstream(value).into_iter().collect(),
            _ => {
                self.wrong_type("depends_on", value, "a task's name or a list of them");
                Vec::new()
            }
        }
    }

    fn upstream(&mut self, item: &Value) -> Option<Upstream> {
        let mut label = None;
        let name = match item.get_ref() {
            DeValue::Table(long) => {
                for (key, _) in long {
                    if !matches!(key.get_ref().as_ref(), "task" | "label") {
                        let message = format!("unknown key `{}` in `depends_on`", key.get_ref());
                        self.report(
                            Diagnostic::error("TM0104", key.span(), message)
                                .help("there are task, label"),
                        );
                    }
                }
                label = self.text(long, "label").map(|text| text.value);
                if !long.contains_key("task") {
                    let message = "an entry of `depends_on` does not name its `task`";
                    self.report(Diagnostic::error("TM0102", item.span(), message));
                }
                self.text(long, "task")
            }
            _ => self.text_of("depends_on", item),
        }?;
        Some(Upstream {
            name: name.value,
            span: name.span,
            label: label.filter(|label| !label.trim().is_empty()),
        })
    }
}

fn short_task(id: String, span: Range<usize>, command: Text) -> TaskKeys {
    let shell = ShellKeys {
        command: Some(command),
        ..ShellKeys::default()
    };
    TaskKeys {
        id,
        span,
        depends_on: Vec::new(),
        depends_on_span: None,
        group: None,
        role: RoleKeys::default(),
        operator: OperatorKey::Shell,
        mapping: None,
        common: Common {
            shell,
            ..Common::default()
        },
    }
}
