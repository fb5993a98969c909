//! The names that templates see, made when they are asked for.

use crate::environment::refuse;
use crate::moment::Moment;
use crate::outside::Connections;
use crate::{Facts, TaskFacts};
use minijinja::value::{Kwargs, Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_model::Ts;

/// Names that a template can use, besides the functions and `macros`.
#[rustfmt::skip]
pub(crate) const NAMES: &[&str] = &[
    "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "logical_date", "data_interval_start",
    "data_interval_end", "run_id", "dag", "dag_run", "task", "ti", "task_instance",
    "task_instance_key_str", "try_number", "params", "map", "run_dir", "tasks", "macros", "test_mode",
    "var", "conn", "trigger", "triggering_asset_events", "inlets", "outlets", "map_index_template",
    "prev_data_interval_start_success", "prev_data_interval_end_success", "prev_start_date_success",
    "prev_end_date_success", "expanded_ti_count",
];

/// Names of the logical date: a run that nothing has dated is without them.
pub const DATE_NAMES: &[&str] = &[
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "logical_date",
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
];

/// Names that are dates where they have a value.
pub(crate) const DATES: &[&str] = &[
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
    "prev_start_date_success",
    "prev_end_date_success",
];

/// What `dag` has.
pub(crate) const DAG: &[&str] = &["dag_id", "timezone"];

/// What `dag_run` has.
pub(crate) const DAG_RUN: &[&str] = &[
    "dag_id",
    "run_id",
    "run_type",
    "conf",
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_after",
    "start_date",
];

/// What `task` has.
pub(crate) const TASK: &[&str] = &["task_id"];

/// What `ti` has.
pub(crate) const TASK_INSTANCE: &[&str] = &[
    "dag_id",
    "task_id",
    "run_id",
    "try_number",
    "map_index",
    "task",
    "xcom_pull",
];

/// Names of the data interval, which a run may be without.
pub const INTERVAL_NAMES: &[&str] = &["data_interval_start", "data_interval_end"];

/// Names that exist only once the task's own work has been done; which of them, its operator says.
pub(crate) const RESULT_NAMES: &[&str] = &[
    "exception",
    "reason",
    "state",
    "url",
    "stdout",
    "result",
    "exit_code",
    "response",
    "rows",
    "row_count",
    "value",
    "record",
    "submitted",
];

/// Names of the format that no value is made for yet.
pub(crate) const LATER_NAMES: &[&str] = &["partition_key", "partition_date", "traceparent"];

/// Names of what is looked up when a task starts.
pub(crate) const LOOKED_UP_NAMES: &[&str] = &[
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
    "prev_start_date_success",
    "prev_end_date_success",
    N_INSTANCES,
];

/// How many instances a mapped task has.
pub const N_INSTANCES: &str = "expanded_ti_count";

/// The context of one rendering.
pub(crate) fn value(facts: &Facts) -> Value {
    Value::from_object(Scope(Arc::new(facts.clone())))
}

#[derive(Debug)]
struct Scope(Arc<Facts>);

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        let facts = &self.0;
        let moment = |at: Option<Ts>| at.map(Moment::value);
        let day = |format: &str| {
            let value = facts.logical_date.map(Moment::value)?;
            Moment::from_value(&value)
                .ok()?
                .strftime(format)
                .ok()
                .map(Value::from)
        };
        let result = facts.result.as_ref();
        match name {
            "ds" => day("%Y-%m-%d"),
            "ds_nodash" => day("%Y%m%d"),
            "ts" => moment(facts.logical_date).map(|at| Value::from(at.to_string())),
            "ts_nodash" => day("%Y%m%dT%H%M%S"),
            "ts_nodash_with_tz" => {
                let at = Moment::from_value(&moment(facts.logical_date)?).ok()?;
                at.without_marks().ok().map(Value::from)
            }
            "logical_date" => moment(facts.logical_date),
            "data_interval_start" => moment(facts.data_interval_start),
            "data_interval_end" => moment(facts.data_interval_end),
            "run_id" => Some(Value::from(&*facts.run_id)),
            "dag" => Some(dict([
                ("dag_id", Value::from(&*facts.dag_id)),
                ("timezone", Value::from(&*facts.timezone)),
            ])),
            "dag_run" => Some(dag_run(facts)),
            "task" => Some(dict([("task_id", Value::from(&*facts.task_id))])),
            "ti" | "task_instance" => Some(Value::from_object(TaskInstance(facts.clone()))),
            "task_instance_key_str" => Some(Value::from(key_of_instance(facts, day("%Y%m%d")))),
            "try_number" => Some(Value::from(facts.try_number)),
            "params" => Some(json(&facts.params)),
            "map" => Some(json(&facts.map)),
            "trigger" => facts.trigger.as_ref().map(json),
            "run_dir" => Some(Value::from(&*facts.run_dir)),
            "tasks" => Some(Value::from_pairs(
                facts
                    .tasks
                    .iter()
                    .map(|(name, task)| (name.as_str(), task_value(task))),
            )),
            "conn" => Some(Value::from_object(Connections(Arc::clone(&facts.found)))),
            "var" => Some(crate::outside::variables(&facts.found)),
            "triggering_asset_events" => Some(Value::from_object(AssetEvents(facts.clone()))),
            "inlets" => Some(json(&facts.own.inlets)),
            "outlets" => Some(json(&facts.own.outlets)),
            "map_index_template" => Some(json(&facts.own.map_index_template)),
            name if LOOKED_UP_NAMES.contains(&name) => looked_up(facts, name),
            "test_mode" => Some(Value::from(false)),
            _ => result.and_then(|result| result.get(name)).map(json),
        }
    }
}

/// What was looked up: none where there is no such run, and where the task is not mapped. Without a
/// date a run has no one before it, and no name for what that was about.
fn looked_up(facts: &Facts, name: &str) -> Option<Value> {
    let last = &facts.looked_up.last_success;
    match name {
        "prev_data_interval_start_success" => facts
            .logical_date
            .map(|_| or_none(last.data_interval_start)),
        "prev_data_interval_end_success" => {
            facts.logical_date.map(|_| or_none(last.data_interval_end))
        }
        "prev_start_date_success" => Some(or_none(last.started_at)),
        "prev_end_date_success" => Some(or_none(last.ended_at)),
        _ => Some(json(&facts.looked_up.n_instances)),
    }
}

/// The task's name with its day, or with its run where that has no date, as in Airflow.
fn key_of_instance(facts: &Facts, day: Option<Value>) -> String {
    let when = day.map_or_else(|| facts.run_id.clone(), |day| day.to_string());
    format!("{}__{}__{when}", facts.dag_id, facts.task_id)
}

/// The events that a run was made for, by asset: a list each, empty where there are none.
#[derive(Debug)]
struct AssetEvents(Arc<Facts>);

impl Object for AssetEvents {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let events = self.0.asset_events.get(key.as_str()?);
        Some(events.map_or_else(|| Value::from(Vec::<Value>::new()), |events| json(&events)))
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        let names = self
            .0
            .asset_events
            .keys()
            .map(|name| Value::from(name.as_str()));
        minijinja::value::Enumerator::Values(names.collect())
    }
}

/// A JSON value for the engine.
pub(crate) fn json(value: &impl serde::Serialize) -> Value {
    Value::from(minijinja::value::Serde(value))
}

fn dict<const N: usize>(pairs: [(&'static str, Value); N]) -> Value {
    pairs.into_iter().collect::<BTreeMap<_, _>>().into()
}

fn or_none(at: Option<Ts>) -> Value {
    at.map_or(Value::from(()), Moment::value)
}

fn dag_run(facts: &Facts) -> Value {
    dict([
        ("dag_id", Value::from(&*facts.dag_id)),
        ("run_id", Value::from(&*facts.run_id)),
        ("run_type", Value::from(&*facts.run_type)),
        ("conf", json(&facts.conf)),
        ("logical_date", or_none(facts.logical_date)),
        ("data_interval_start", or_none(facts.data_interval_start)),
        ("data_interval_end", or_none(facts.data_interval_end)),
        ("run_after", or_none(facts.run_after)),
        ("start_date", or_none(facts.run_started_at)),
    ])
}

/// `output` is left out where there is none, so that strictness and `default` both work.
fn task_value(task: &TaskFacts) -> Value {
    let kept = task.values.iter().filter(|(key, _)| *key != RETURN_VALUE);
    let outputs = Value::from_pairs(kept.map(|(key, value)| (key.as_str(), json(value))));
    let states = tidemill_model::TaskState::ALL.iter().map(|state| {
        let n_instances = task.states.get(state.name()).copied().unwrap_or(0);
        (state.name(), Value::from(n_instances))
    });
    let mut fields = BTreeMap::from([
        ("state", Value::from(&*task.state)),
        ("states", Value::from_pairs(states)),
        ("outputs", outputs),
    ]);
    if let Some(output) = task.values.get(RETURN_VALUE) {
        fields.insert("output", json(output));
    }
    if let Some(file) = &task.outputs_file {
        fields.insert("outputs_file", Value::from(file.as_str()));
    }
    fields.into()
}

const RETURN_VALUE: &str = "return_value";

/// Airflow's `ti`.
#[derive(Debug)]
struct TaskInstance(Arc<Facts>);

impl Object for TaskInstance {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let facts = &self.0;
        Some(match key.as_str()? {
            "dag_id" => Value::from(&*facts.dag_id),
            "task_id" => Value::from(&*facts.task_id),
            "run_id" => Value::from(&*facts.run_id),
            "try_number" => Value::from(facts.try_number),
            "map_index" => Value::from(facts.map_index),
            "task" => dict([("task_id", Value::from(&*facts.task_id))]),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if method != "xcom_pull" {
            return Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("ti has no {method}; it has xcom_pull"),
            ));
        }
        let (first, options): (Option<Value>, Kwargs) = from_args(args)?;
        let named: Option<Value> = options.get("task_ids")?;
        let key: Option<String> = options.get("key")?;
        let indexes: Option<Value> = options.get("map_indexes")?;
        let fallback: Option<Value> = options.get("default")?;
        options.assert_all_used()?;
        let which = first
            .or(named)
            .ok_or_else(|| refuse("xcom_pull needs task_ids"))?;
        let key = key.as_deref().unwrap_or(RETURN_VALUE);
        let fallback = fallback.unwrap_or(Value::from(()));
        let one = |task: &str| pull(&self.0, task, key, indexes.as_ref(), &fallback);
        match which.as_str() {
            Some(task) => one(task),
            None => which
                .try_iter()?
                .map(|task| one(task.as_str().unwrap_or("")))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from),
        }
    }
}

/// A value, those of some instances of a mapped task, or `fallback` where there is none: so Airflow
/// does it.
fn pull(
    facts: &Facts,
    task: &str,
    key: &str,
    indexes: Option<&Value>,
    fallback: &Value,
) -> Result<Value, Error> {
    let found = facts.tasks.get(task).and_then(|task| task.values.get(key));
    let Some(found) = found else {
        return Ok(fallback.clone());
    };
    let of_instance = |index: &Value| {
        let index = index.as_usize();
        let one = index.and_then(|index| found.as_array()?.get(index));
        one.filter(|one| !one.is_null())
            .map_or_else(|| fallback.clone(), json)
    };
    match indexes.filter(|indexes| !indexes.is_none()) {
        None => Ok(json(found)),
        Some(index) if index.is_number() => Ok(of_instance(index)),
        Some(list) => Ok(list.try_iter()?.map(|index| of_instance(&index)).collect()),
    }
}
