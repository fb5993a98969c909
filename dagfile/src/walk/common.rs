//! The keys that every task has, from a task, a group's defaults or the DAG's.

use super::alert::{self, Alerts};
use super::asset::OutletKeys;
use super::value::{is_env_name, is_id};
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys::{self, Kind};
use crate::operator::Settings;
use crate::parse::{Table, Value};
use std::ops::Range;
use std::time::Duration;
use tidemill_model::alert::AlertOn;
use tidemill_model::dag::{OnLost, Resources, RetryRule, Secret, ShellOutput, is_pool_name};
use tidemill_model::{TriggerRule, WeightRule};
use toml::de::DeValue;

/// Named texts in the order of the file.
pub(crate) type Texts = Vec<(String, Text)>;

/// What one table says. `None` means that it says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    pub(crate) display_name: Option<String>,
    pub(crate) doc_md: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) trigger_rule: Option<TriggerRule>,
    pub(crate) depends_on_past: Option<bool>,
    pub(crate) wait_for_downstream: Option<bool>,
    pub(crate) ignore_first_depends_on_past: Option<bool>,
    pub(crate) run_if: Option<Text>,
    pub(crate) skip_if: Option<Text>,
    pub(crate) retries: Option<u32>,
    pub(crate) retry_delay: Option<Duration>,
    pub(crate) retry_exponential_backoff: Option<f64>,
    pub(crate) max_retry_delay: Option<Duration>,
    pub(crate) retry_jitter: Option<bool>,
    pub(crate) retry_policy: Option<Vec<RetryRule>>,
    pub(crate) execution_timeout: Option<Duration>,
    pub(crate) pool: Option<String>,
    pub(crate) pool_slots: Option<u32>,
    pub(crate) priority_weight: Option<i64>,
    pub(crate) weight_rule: Option<WeightRule>,
    pub(crate) max_active_tis_per_dag: Option<u32>,
    pub(crate) max_active_tis_per_dagrun: Option<u32>,
    pub(crate) queue: Option<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) env: Texts,
    pub(crate) inherit_env: Option<bool>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) run_as_user: Option<String>,
    pub(crate) resources: Resources,
    pub(crate) on_lost: Option<OnLost>,
    pub(crate) do_xcom_push: Option<bool>,
    pub(crate) outputs: Texts,
    pub(crate) inlets: Option<Vec<Text>>,
    pub(crate) outlets: Option<Vec<OutletKeys>>,
    pub(crate) shell: ShellKeys,
    /// Settings of operators that run inside the worker, by their key: a task's own one, or
    /// defaults for several.
    pub(crate) settings: Vec<(&'static str, Settings)>,
    pub(crate) alerts: Alerts,
}

/// What one table says about shell tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShellKeys {
    pub(crate) command: Option<Text>,
    pub(crate) script: Option<Text>,
    pub(crate) interpreter: Option<Vec<String>>,
    pub(crate) args: Option<Vec<Text>>,
    pub(crate) stdin: Option<Text>,
    pub(crate) skip_on_exit_code: Option<Vec<i32>>,
    pub(crate) success_exit_codes: Option<Vec<i32>>,
    pub(crate) output: Option<ShellOutput>,
}

impl Common {
    /// These keys, with those of `base` where these say nothing; tables merge key by key.
    pub(crate) fn over(self, base: &Common) -> Common {
        macro_rules! pick {
            ($($field:ident),*) => { Common {
                $($field: self.$field.or_else(|| base.$field.clone()),)*
                env: merge(self.env, &base.env, |one| &one.0),
                secrets: merge(self.secrets, &base.secrets, |one| &one.env),
                outputs: merge(self.outputs, &base.outputs, |one| &one.0),
                resources: self.resources.over(base.resources),
                shell: self.shell.over(&base.shell),
                settings: settings_over(self.settings, &base.settings),
                alerts: alert::over(self.alerts, &base.alerts),
            } };
        }
        pick!(
            display_name,
            doc_md,
            owner,
            trigger_rule,
            depends_on_past,
            wait_for_downstream,
            ignore_first_depends_on_past,
            run_if,
            skip_if,
            retries,
            retry_delay,
            retry_exponential_backoff,
            max_retry_delay,
            retry_jitter,
            retry_policy,
            execution_timeout,
            pool,
            pool_slots,
            priority_weight,
            weight_rule,
            max_active_tis_per_dag,
            max_active_tis_per_dagrun,
            queue,
            cwd,
            inherit_env,
            run_as_user,
            on_lost,
            inlets,
            outlets,
            do_xcom_push
        )
    }
}

impl ShellKeys {
    fn over(self, base: &ShellKeys) -> ShellKeys {
        ShellKeys {
            command: self.command,
            script: self.script,
            interpreter: self.interpreter.or_else(|| base.interpreter.clone()),
            args: self.args.or_else(|| base.args.clone()),
            stdin: self.stdin.or_else(|| base.stdin.clone()),
            skip_on_exit_code: self
                .skip_on_exit_code
                .or_else(|| base.skip_on_exit_code.clone()),
            success_exit_codes: self
                .success_exit_codes
                .or_else(|| base.success_exit_codes.clone()),
            output: self.output.or(base.output),
        }
    }
}

fn settings_over(
    mut own: Vec<(&'static str, Settings)>,
    base: &[(&'static str, Settings)],
) -> Vec<(&'static str, Settings)> {
    for (name, other) in base {
        match own.iter_mut().find(|(known, _)| known == name) {
            Some((_, settings)) => *settings = std::mem::take(settings).over(other),
            None => own.push((name, other.clone())),
        }
    }
    own
}

fn merge<T: Clone>(own: Vec<T>, base: &[T], name: impl Fn(&T) -> &String) -> Vec<T> {
    let mut merged: Vec<T> = base
        .iter()
        .filter(|one| !own.iter().any(|other| name(other) == name(one)))
        .cloned()
        .collect();
    merged.extend(own);
    merged
}

impl Walk<'_> {
    /// The common keys of a table whose keys have been checked.
    pub(crate) fn common(&mut self, table: &Table) -> Common {
        let u32_of = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Common {
            display_name: self.string(table, "display_name"),
            doc_md: self.string(table, "doc_md"),
            owner: self.string(table, "owner"),
            trigger_rule: self
                .choice(table, "trigger_rule", keys::TRIGGER_RULES)
                .and_then(|word| TriggerRule::from_name(&word)),
            depends_on_past: self.boolean(table, "depends_on_past"),
            wait_for_downstream: self.boolean(table, "wait_for_downstream"),
            ignore_first_depends_on_past: self.boolean(table, "ignore_first_depends_on_past"),
            run_if: self.text(table, "run_if"),
            skip_if: self.text(table, "skip_if"),
            retries: self.int(table, "retries", 0, 10_000).map(u32_of),
            retry_delay: self.duration(table, "retry_delay"),
            retry_exponential_backoff: self.backoff(table),
            max_retry_delay: self.duration(table, "max_retry_delay"),
            retry_jitter: self.boolean(table, "retry_jitter"),
            retry_policy: self.retry_policy(table),
            execution_timeout: self.positive_duration(table, "execution_timeout"),
            pool: self.pool(table),
            pool_slots: self.int(table, "pool_slots", 1, 1_000_000).map(u32_of),
            priority_weight: self.int(
                table,
                "priority_weight",
                -keys::WEIGHT_MAX,
                keys::WEIGHT_MAX,
            ),
            weight_rule: self
                .choice(table, "weight_rule", keys::WEIGHT_RULES)
                .and_then(|word| WeightRule::from_name(&word)),
            max_active_tis_per_dag: self
                .int(table, "max_active_tis_per_dag", 1, 100_000)
                .map(u32_of),
            max_active_tis_per_dagrun: self
                .int(table, "max_active_tis_per_dagrun", 1, 100_000)
                .map(u32_of),
            queue: self.string(table, "queue"),
            cwd: self
                .text(table, "cwd")
                .and_then(|cwd| self.inside_folder("cwd", cwd)),
            env: self.env(table),
            inherit_env: self.boolean(table, "inherit_env"),
            secrets: self.secrets(table),
            alerts: self.alerts(table, AlertOn::ALL),
            run_as_user: self.string(table, "run_as_user"),
            resources: self.resources(table),
            on_lost: self
                .choice(table, "on_lost", &["fail", "retry"])
                .and_then(|word| OnLost::from_name(&word)),
            do_xcom_push: self.boolean(table, "do_xcom_push"),
            outputs: self.outputs(table),
            inlets: self.inlets(table),
            outlets: self.outlets(table),
            shell: ShellKeys::default(),
            settings: Vec::new(),
        }
    }

    /// The name of a pool.
    fn pool(&mut self, table: &Table) -> Option<String> {
        let name = self.text(table, "pool")?;
        if is_pool_name(&name.value) {
            return Some(name.value);
        }
        let message = format!("`{}` cannot be the name of a pool", name.value);
        self.report(
            Diagnostic::error("TM0107", name.span, message).label("A-Z a-z 0-9 _ . and - only"),
        );
        None
    }

    /// A duration above zero.
    pub(crate) fn positive_duration(&mut self, table: &Table, name: &str) -> Option<Duration> {
        let duration = self.duration(table, name)?;
        if duration.is_zero() {
            let span = table.get(name).map_or(0..0, Value::span);
            self.report(Diagnostic::error(
                "TM0103",
                span,
                format!("`{name}` must be more than zero"),
            ));
            return None;
        }
        Some(duration)
    }

    /// `[default_args]`, of the DAG or of a group.
    pub(crate) fn default_args(&mut self, table: &Table, place: &Place) -> Common {
        self.check_keys(table, place, keys::DEFAULT_ARGS);
        let mut common = self.common(table);
        if let Some(shell) = self.table(table, "shell") {
            let place = Place::Shell(Box::new(place.clone()));
            self.check_keys(shell, &place, keys::SHELL_DEFAULTS);
            common.shell = self.shell_keys(shell);
        }
        for key in keys::DEFAULT_ARGS {
            let Kind::OperatorDefaults(operator) = key.kind else {
                continue;
            };
            if let Some(table) = self.table(table, key.name) {
                let settings = self.settings(table, operator, place);
                common.settings.push((operator.name, settings));
            }
        }
        common
    }

    /// The keys of a shell table whose keys have been checked.
    pub(crate) fn shell_keys(&mut self, table: &Table) -> ShellKeys {
        let interpreter = self.strings(table, "interpreter");
        if interpreter
            .as_ref()
            .is_some_and(|words| words.is_empty() || words[0].is_empty())
        {
            let span = table.get("interpreter").map_or(0..0, Value::span);
            self.report(
                Diagnostic::error("TM0103", span, "`interpreter` names no program").label("empty"),
            );
        }
        ShellKeys {
            command: self.text(table, "command"),
            script: self.text(table, "script").and_then(|script| {
                let span = script.span.clone();
                let value = self.inside_folder("script", script)?;
                self.need_file(&value);
                Some(Text { value, span })
            }),
            interpreter,
            args: self.texts(table, "args"),
            stdin: self.text(table, "stdin"),
            skip_on_exit_code: self.statuses(table, "skip_on_exit_code"),
            success_exit_codes: self.statuses(table, "success_exit_codes"),
            output: self
                .choice(table, "output", keys::SHELL_OUTPUTS)
                .and_then(|word| ShellOutput::from_name(&word)),
        }
    }

    /// A relative path that stays inside the DAG's folder.
    pub(crate) fn inside_folder(&mut self, name: &str, path: Text) -> Option<String> {
        let parts = || path.value.split('/');
        let is_inside = !path.value.is_empty()
            && !path.value.starts_with('/')
            && parts().all(|part| part != "..");
        if is_inside && !path.value.contains('\0') {
            return Some(
                parts()
                    .filter(|part| !matches!(*part, "" | "."))
                    .collect::<Vec<_>>()
                    .join("/"),
            );
        }
        let message = format!("`{name}` must be a path inside the DAG's folder");
        self.report(
            Diagnostic::error("TM0103", path.span, message)
                .label("outside of it, or empty")
                .help("only files of the DAG's own folder are kept with a version"),
        );
        None
    }

    pub(crate) fn named_texts(
        &mut self,
        table: &Table,
        name: &str,
    ) -> Vec<(String, Range<usize>, Text)> {
        let Some(inner) = self.table(table, name) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in inner {
            if let Some(text) = self.text_of(&format!("{name}.{}", key.get_ref()), value) {
                found.push((key.get_ref().to_string(), key.span(), text));
            }
        }
        found
    }

    fn env(&mut self, table: &Table) -> Texts {
        let named = self.named_texts(table, "env");
        named
            .into_iter()
            .filter(|(name, span, _)| self.is_good_env(name, span))
            .map(|(name, _, text)| (name, text))
            .collect()
    }

    fn is_good_env(&mut self, name: &str, span: &Range<usize>) -> bool {
        if is_env_name(name) {
            return true;
        }
        let message = format!("`{name}` cannot be the name of an environment variable");
        self.report(
            Diagnostic::error("TM0107", span.clone(), message)
                .label("letters, digits and _, no digit first"),
        );
        false
    }

    fn outputs(&mut self, table: &Table) -> Texts {
        let mut outputs = Texts::new();
        for (name, span, text) in self.named_texts(table, "outputs") {
            if name == "return_value" {
                let message = "`return_value` is the task's own output and cannot be declared";
                self.report(Diagnostic::error("TM0107", span, message).help("choose another key"));
            } else if is_id(&name) {
                outputs.push((name, text));
            } else {
                let message = format!("`{name}` cannot be the key of an output");
                self.report(
                    Diagnostic::error("TM0107", span, message).label("A-Z a-z 0-9 _ and - only"),
                );
            }
        }
        outputs
    }

    fn secrets(&mut self, table: &Table) -> Vec<Secret> {
        let Some(inner) = self.table(table, "secrets") else {
            return Vec::new();
        };
        let mut secrets = Vec::new();
        for (key, value) in inner {
            let env = key.get_ref().to_string();
            if !self.is_good_env(&env, &key.span()) {
                continue;
            }
            let name = format!("secrets.{env}");
            let (from, as_file) = match value.get_ref() {
                DeValue::Table(long) => {
                    (self.secret_source(long, &name, value), self.is_file(long))
                }
                _ => (self.text_of(&name, value), false),
            };
            if let Some(from) = from.and_then(|from| self.checked_source(from)) {
                secrets.push(Secret { env, from, as_file });
            }
        }
        secrets
    }

    fn secret_source(&mut self, long: &Table, name: &str, whole: &Value) -> Option<Text> {
        for (key, _) in long {
            if !matches!(key.get_ref().as_ref(), "from" | "as") {
                let message = format!("unknown key `{}` in `{name}`", key.get_ref());
                self.report(
                    Diagnostic::error("TM0104", key.span(), message).help("there are from, as"),
                );
            }
        }
        if !long.contains_key("from") {
            let message = format!("`{name}` does not say `from` where it comes");
            self.report(Diagnostic::error("TM0102", whole.span(), message));
        }
        self.text(long, "from")
    }

    fn is_file(&mut self, long: &Table) -> bool {
        self.choice(long, "as", &["env", "file"])
            .is_some_and(|word| word == "file")
    }

    pub(crate) fn checked_source(&mut self, from: Text) -> Option<String> {
        let parts: Vec<&str> = from.value.split('.').collect();
        let is_good = match parts.as_slice() {
            ["conn", rest @ ..] => rest.len() >= 2 && rest.iter().all(|part| is_id(part)),
            ["var", rest @ ..] => rest.len() == 1 && rest.iter().all(|part| is_id(part)),
            _ => false,
        };
        if is_good {
            return Some(from.value);
        }
        let message = format!("`{}` does not name a secret", from.value);
        self.report(
            Diagnostic::error("TM0103", from.span, message)
                .label("conn.NAME.FIELD or var.NAME")
                .help("write \"conn.warehouse.password\" or \"var.api_key\"; the secret itself never stands in the file"),
        );
        None
    }
}
