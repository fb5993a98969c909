//! The environment of a task: an allow-list, then what Tidemill tells it. Later names win.

use crate::AttemptSpec;
use crate::slot::Slot;
use crate::user::User;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use tidemill_model::Task;

/// Names and values.
pub(crate) type Environment = BTreeMap<String, String>;

/// What a worker without a `PATH` searches.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const INHERITED: [&str; 5] = ["HOME", "USER", "LANG", "TZ", "TMPDIR"];
/// Linux takes no longer string; a parameter that is longer is only seen by templates.
const VALUE_MAX: usize = 120 * 1024;

/// All but the task's own `env` and `secrets`.
pub(crate) fn base(
    spec: &AttemptSpec,
    task: &Task,
    slot: &Slot,
    user: Option<&User>,
    passthrough: &[String],
) -> Environment {
    let mut env = Environment::new();
    if task.inherit_env {
        inherit(&mut env, passthrough);
    }
    if let Some(user) = user {
        env.insert("HOME".to_string(), user.home.clone());
        env.insert("USER".to_string(), user.name.clone());
    }
    let path = worker_path();
    env.insert(
        "PATH".to_string(),
        format!("{}:{path}", spec.dag_dir.display()),
    );
    own_names(&mut env, spec, slot);
    params(&mut env, spec);
    airflow_names(&mut env, spec, task);
    env
}

/// The worker's own `PATH`.
pub(crate) fn worker_path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_string())
}

fn inherit(env: &mut Environment, passthrough: &[String]) {
    let is_allowed = |name: &str| {
        INHERITED.contains(&name)
            || name.starts_with("LC_")
            || passthrough.iter().any(|allowed| allowed == name)
    };
    for (name, value) in std::env::vars_os() {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string())
            && is_allowed(&name)
        {
            env.insert(name, value);
        }
    }
}

fn own_names(env: &mut Environment, spec: &AttemptSpec, slot: &Slot) {
    let facts = &spec.facts;
    let mut put = |name: &str, value: String| env.insert(format!("TIDEMILL_{name}"), value);
    put("DAG_ID", facts.dag_id.clone());
    put("TASK_ID", facts.task_id.clone());
    put("RUN_ID", facts.run_id.clone());
    put("TRY_NUMBER", facts.try_number.to_string());
    put("MAP_INDEX", facts.map_index.to_string());
    if let Some(date) = facts.logical_date {
        let text = date.to_string();
        put("DS", text.chars().take_while(|&c| c != 'T').collect());
        put("LOGICAL_DATE", text);
    }
    if let Some(start) = facts.data_interval_start {
        put("DATA_INTERVAL_START", start.to_string());
    }
    if let Some(end) = facts.data_interval_end {
        put("DATA_INTERVAL_END", end.to_string());
    }
    put("RUN_DIR", spec.run_dir.display().to_string());
    put("DAG_DIR", spec.dag_dir.display().to_string());
    put("TASK_DIR", slot.work.display().to_string());
    put("OUTPUT", slot.output.display().to_string());
    put("EPOCH", spec.attempt.epoch.to_string());
    put("ATTEMPT", spec.attempt.to_string());
    if let Some(trigger) = &facts.trigger {
        env.insert(
            "TIDEMILL_REJECTS".to_string(),
            slot.rejects.display().to_string(),
        );
        records(env, trigger);
    }
    env.insert("TRACEPARENT".to_string(), trace_parent(spec));
}

/// What the run of a stream was made of.
fn records(env: &mut Environment, trigger: &serde_json::Map<String, Value>) {
    let names = [
        ("TRIGGER", "name"),
        ("KAFKA_BATCH", "records_file"),
        ("KAFKA_TOPIC", "topic"),
        ("KAFKA_PARTITION", "partition"),
        ("KAFKA_FIRST_OFFSET", "first_offset"),
        ("KAFKA_LAST_OFFSET", "last_offset"),
        ("KAFKA_COUNT", "count"),
    ];
    for (name, fact) in names {
        let text = match trigger.get(fact) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => continue,
        };
        env.insert(format!("TIDEMILL_{name}"), text);
    }
}

/// W3C trace context: one trace for a run, one span for an attempt.
fn trace_parent(spec: &AttemptSpec) -> String {
    let number = |salt: u8, attempt: bool| {
        let mut hasher = DefaultHasher::new();
        (
            salt,
            &spec.facts.dag_id,
            &spec.facts.run_id,
            spec.attempt.run,
        )
            .hash(&mut hasher);
        if attempt {
            spec.attempt.hash(&mut hasher);
        }
        hasher.finish() | 1 // zero is not allowed
    };
    format!(
        "00-{:016x}{:016x}-{:016x}-01",
        number(1, false),
        number(2, false),
        number(3, true)
    )
}

fn params(env: &mut Environment, spec: &AttemptSpec) {
    values(env, "PARAM", &spec.facts.params);
    values(env, "MAP", &spec.facts.map);
}

fn values(env: &mut Environment, kind: &str, values: &serde_json::Map<String, Value>) {
    for (name, value) in values {
        let upper = name.to_ascii_uppercase();
        let name = upper.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if text.len() <= VALUE_MAX && !text.contains('\0') {
            env.insert(format!("TIDEMILL_{kind}_{name}"), text);
        }
    }
}

fn airflow_names(env: &mut Environment, spec: &AttemptSpec, task: &Task) {
    let facts = &spec.facts;
    let mut put = |name: &str, value: String| env.insert(format!("AIRFLOW_CTX_{name}"), value);
    put("DAG_ID", facts.dag_id.clone());
    put("TASK_ID", facts.task_id.clone());
    put("DAG_RUN_ID", facts.run_id.clone());
    put("TRY_NUMBER", facts.try_number.to_string());
    put("DAG_OWNER", task.owner.clone());
    if let Some(date) = facts.logical_date {
        put("LOGICAL_DATE", tidemill_template::iso(date));
        put("EXECUTION_DATE", tidemill_template::iso(date));
    }
}
