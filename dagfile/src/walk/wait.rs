//! Operators that wait for, or make, something outside of their run: `time_sensor`,
//! `external_task_sensor`, `trigger_dag_run`.

use super::value::is_id;
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::{Table, Value};
use std::time::Duration;
use tidemill_model::dag::{
    External, ExternalTask, Match, Operator, Patience, SENSOR_TIMEOUT, TimeSensor, TimeTarget,
    TriggerDagRun,
};
use tidemill_model::{RunState, TaskState};
use toml::de::DeValue;

/// What such an operator says.
#[derive(Clone, Debug)]
pub(crate) struct WaitKeys {
    pub(crate) operator: Operator,
    /// Every text of it that may hold a template.
    pub(crate) templates: Vec<Text>,
}

impl WaitKeys {
    /// The values that it keeps.
    pub(crate) const fn keeps(&self) -> &'static [&'static str] {
        match self.operator {
            Operator::TriggerDagRun(_) => &["trigger_dag_id", "trigger_run_id"],
            _ => &[],
        }
    }

    fn plain(operator: Operator) -> WaitKeys {
        WaitKeys {
            operator,
            templates: Vec::new(),
        }
    }
}

impl Walk<'_> {
    /// `time_sensor`: a time of day, or a table with `at` or `after`.
    pub(crate) fn time_sensor(&mut self, value: &Value, place: &Place) -> Option<WaitKeys> {
        let sensor = |target, patience| {
            WaitKeys::plain(Operator::TimeSensor(TimeSensor { target, patience }))
        };
        let table = match value.get_ref() {
            DeValue::Table(table) => table,
            _ => {
                let patience = Patience {
                    timeout: SENSOR_TIMEOUT,
                    soft_fail: false,
                };
                let target = self.time_or_date("time_sensor", value)?;
                return Some(sensor(target, patience));
            }
        };
        let place = Place::Operator(Box::new(place.clone()), "time_sensor");
        self.check_keys(table, &place, keys::TIME_SENSOR);
        let patience = self.patience(table);
        let target = match (table.get("at"), table.get("after")) {
            (Some(at), None) => self.time_or_date("at", at)?,
            (None, Some(after)) => TimeTarget::After(self.duration_of("after", after)?),
            (at, _) => {
                let span = at.map_or(value.span(), Value::span);
                let message = "a time sensor has one of `at` and `after`";
                self.report(Diagnostic::error("TM0149", span, message));
                return None;
            }
        };
        Some(sensor(target, patience))
    }

    fn time_or_date(&mut self, name: &str, value: &Value) -> Option<TimeTarget> {
        match value.get_ref() {
            DeValue::Datetime(_) => {
                let zone = self.zone.clone();
                self.date_of(name, value, &zone).map(TimeTarget::At)
            }
            DeValue::String(_) => {
                let text = self.text_of(name, value)?;
                self.time_of_day(&text).map(TimeTarget::Daily)
            }
            _ => {
                self.wrong_type(name, value, "a time of day or a date");
                None
            }
        }
    }

    fn patience(&mut self, table: &Table) -> Patience {
        // Read for its mistakes: nothing is asked again and again.
        self.duration(table, "poke_interval");
        Patience {
            timeout: self
                .positive_duration(table, "timeout")
                .unwrap_or(SENSOR_TIMEOUT),
            soft_fail: self.boolean(table, "soft_fail").unwrap_or(false),
        }
    }

    /// `external_task_sensor`.
    pub(crate) fn external(&mut self, value: &Value, place: &Place) -> Option<WaitKeys> {
        let table = self.table_of(
            "external_task_sensor",
            value,
            place,
            keys::EXTERNAL_TASK_SENSOR,
        )?;
        let dag_id = self.needed("dag_id", table, value)?;
        if !is_id(&dag_id.value) {
            let message = format!("`{}` cannot be the name of a DAG", dag_id.value);
            self.report(
                Diagnostic::error("TM0107", dag_id.span, message).label("A-Z a-z 0-9 _ and - only"),
            );
            return None;
        }
        let what = self.external_what(table)?;
        let is_run = what == External::Run;
        let allowed = self.task_states(table, "allowed_states", is_run);
        let sensor = ExternalTask {
            dag_id: dag_id.value,
            what,
            matching: self
                .choice(table, "match", keys::MATCHES)
                .and_then(|word| Match::from_name(&word))
                .unwrap_or(Match::Same),
            delta: self
                .duration(table, "execution_delta")
                .unwrap_or(Duration::ZERO),
            allowed: allowed.unwrap_or(vec![TaskState::Success]),
            skipped: self
                .task_states(table, "skipped_states", is_run)
                .unwrap_or_default(),
            failed: self
                .task_states(table, "failed_states", is_run)
                .unwrap_or_default(),
            check_existence: self.boolean(table, "check_existence").unwrap_or(false),
            patience: self.patience(table),
        };
        self.no_state_twice(&sensor, table);
        Some(WaitKeys::plain(Operator::ExternalTaskSensor(Box::new(
            sensor,
        ))))
    }

    fn external_what(&mut self, table: &Table) -> Option<External> {
        let names = ["task_id", "task_ids", "task_group_id"];
        let written: Vec<&str> = names
            .into_iter()
            .filter(|name| table.contains_key(*name))
            .collect();
        match written.as_slice() {
            [] => Some(External::Run),
            ["task_id"] => Some(External::Tasks(vec![self.string(table, "task_id")?])),
            ["task_ids"] => Some(External::Tasks(self.strings(table, "task_ids")?)),
            ["task_group_id"] => Some(External::Group(self.string(table, "task_group_id")?)),
            [.., second] => {
                let span = table.get(*second).map_or(0..0, Value::span);
                let message =
                    "one of `task_id`, `task_ids` and `task_group_id` says what is waited for";
                self.report(Diagnostic::error("TM0149", span, message).label("one too many"));
                None
            }
        }
    }

    /// States by name; a whole run has only those of runs.
    fn task_states(&mut self, table: &Table, name: &str, is_run: bool) -> Option<Vec<TaskState>> {
        let words = if is_run {
            keys::RUN_STATES
        } else {
            keys::TASK_STATES
        };
        let found = self.choices(table, name, words)?;
        let states = found.iter().filter_map(|word| TaskState::from_name(word));
        Some(states.collect())
    }

    fn no_state_twice(&mut self, sensor: &ExternalTask, table: &Table) {
        let all = [&sensor.allowed, &sensor.skipped, &sensor.failed];
        let n = |state: &TaskState| all.iter().filter(|list| list.contains(state)).count();
        if let Some(twice) = all.into_iter().flatten().find(|state| n(state) > 1) {
            let named = ["failed_states", "skipped_states", "allowed_states"];
            let span = named.iter().find_map(|name| table.get(*name));
            let message = format!("the state `{twice}` stands in two lists");
            self.report(Diagnostic::error(
                "TM0149",
                span.map_or(0..0, Value::span),
                message,
            ));
        }
    }

    /// `trigger_dag_run`.
    pub(crate) fn trigger(&mut self, value: &Value, place: &Place) -> Option<WaitKeys> {
        let table = self.table_of("trigger_dag_run", value, place, keys::TRIGGER_DAG_RUN)?;
        let dag_id = self.needed("dag_id", table, value)?;
        self.duration(table, "poke_interval");
        let mut templates = vec![dag_id.clone()];
        let mut template = |walk: &mut Self, name: &str| {
            let text = walk.text(table, name)?;
            templates.push(text.clone());
            Some(text.value)
        };
        let run_id = template(self, "run_id");
        let logical_date = template(self, "logical_date");
        let note = template(self, "note");
        let conf = table
            .get("conf")
            .and_then(|conf| self.object("conf", conf, &mut templates));
        let is = |walk: &mut Self, name: &str| walk.boolean(table, name).unwrap_or(false);
        let states = |walk: &mut Self, name: &str| {
            let words = walk.choices(table, name, keys::RUN_STATES)?;
            let states = words.iter().filter_map(|word| RunState::from_name(word));
            Some(states.collect())
        };
        let trigger = TriggerDagRun {
            dag_id: dag_id.value,
            run_id,
            conf,
            logical_date,
            note,
            waits: is(self, "wait_for_completion"),
            allowed: states(self, "allowed_states").unwrap_or(vec![RunState::Success]),
            failed: states(self, "failed_states").unwrap_or(vec![RunState::Failed]),
            resets: is(self, "reset_dag_run"),
            skips_existing: is(self, "skip_when_already_exists"),
            fails_when_paused: is(self, "fail_when_dag_is_paused"),
        };
        Some(WaitKeys {
            operator: Operator::TriggerDagRun(Box::new(trigger)),
            templates,
        })
    }

    /// A table whose texts may be templates, or a template that gives one.
    fn object(
        &mut self,
        name: &str,
        value: &Value,
        templates: &mut Vec<Text>,
    ) -> Option<serde_json::Value> {
        match value.get_ref() {
            DeValue::String(_) => templates.push(self.text_of(name, value)?),
            DeValue::Table(_) => self.texts_inside(name, value, templates),
            _ => {
                self.wrong_type(name, value, "a table, or a template that gives one");
                return None;
            }
        }
        Some(crate::normal::json(value))
    }

    /// Every text in a value. The parser's own limit of depth bounds the recursion.
    fn texts_inside(&mut self, name: &str, value: &Value, templates: &mut Vec<Text>) {
        match value.get_ref() {
            DeValue::String(_) => templates.extend(self.text_of(name, value)),
            DeValue::Array(items) => {
                items
                    .iter()
                    .for_each(|item| self.texts_inside(name, item, templates));
            }
            DeValue::Table(table) => {
                for (key, value) in table {
                    self.texts_inside(&format!("{name}.{}", key.get_ref()), value, templates);
                }
            }
            _ => {}
        }
    }

    /// The table of an operator that has no short form.
    fn table_of<'t, 's>(
        &mut self,
        name: &'static str,
        value: &'t Value<'s>,
        place: &Place,
        keys: &[keys::Key],
    ) -> Option<&'t Table<'s>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(name, value, "a table");
            return None;
        };
        let place = Place::Operator(Box::new(place.clone()), name);
        self.check_keys(table, &place, keys);
        Some(table)
    }

    fn needed(&mut self, name: &str, table: &Table, whole: &Value) -> Option<Text> {
        if !table.contains_key(name) {
            let message = format!("`{name}` is missing");
            self.report(Diagnostic::error("TM0102", whole.span(), message));
        }
        self.text(table, name)
    }
}
