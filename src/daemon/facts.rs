//! What the templates of one attempt see, from stored rows. The engine and workers in other
//! processes tell it alike.

use crate::daemon::engine::{HAPPENING, RUN_ITSELF, TRIGGERING_EVENTS};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidemill_connection::Found;
use tidemill_model::{Dag, RunNo, RunRow, Task, TaskIndex, TaskState};
use tidemill_store::ValueRow;
use tidemill_template::{Facts, LookedUp, Own, TaskFacts};

/// The last number that was given to a draft of records.
static LAST_DRAFT: AtomicU64 = AtomicU64::new(0);

/// Which attempt, besides its task.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its try, from 1.
    pub try_number: i32,
    /// Its place in a mapped task.
    pub map_index: i32,
    /// What it is about, in a mapped task.
    pub map: Map<String, Value>,
}

/// What an attempt's templates see.
pub fn of_attempt(
    row: &RunRow,
    dag: &Dag,
    at: TaskIndex,
    place: Place,
    run_dir: &Path,
    tasks: BTreeMap<String, TaskFacts>,
    found: Found,
) -> Facts {
    Facts {
        task_id: dag.task(at).id.clone(),
        try_number: place.try_number,
        map_index: place.map_index,
        map: place.map,
        tasks,
        run_dir: run_dir.to_string_lossy().into_owned(),
        found: Arc::new(found),
        own: own(dag, dag.task(at)),
        ..of_run(row, dag)
    }
}

/// What the file says of a task.
fn own(dag: &Dag, task: &Task) -> Own {
    let asset = |name: &String| {
        let known = dag.assets.iter().find(|asset| asset.name == *name);
        let (uri, group) = known.map_or((name.as_str(), "asset"), |asset| {
            (asset.uri.as_str(), asset.group.as_str())
        });
        json!({"name": name, "uri": uri, "group": group})
    };
    let mapping = task.mapping.as_ref();
    Own {
        inlets: task.inlets.iter().map(asset).collect(),
        outlets: task.outlets.iter().map(asset).collect(),
        map_index_template: mapping.and_then(|mapping| mapping.label.clone()),
    }
}

/// What a template outside of any task sees.
pub fn of_run(row: &RunRow, dag: &Dag) -> Facts {
    let conf = row.conf.as_object().cloned().unwrap_or_default();
    let defaults = dag.params.iter();
    let mut params: Map<_, _> = defaults
        .map(|param| (param.name.clone(), param.default.clone()))
        .collect();
    params.extend(conf.clone());
    Facts {
        dag_id: dag.id.clone(),
        timezone: dag.timezone.clone(),
        run_id: row.run_id.clone(),
        run_type: row.run_type.name().to_string(),
        logical_date: row.logical_date,
        data_interval_start: row.data_interval_start,
        data_interval_end: row.data_interval_end,
        run_after: Some(row.run_after),
        run_started_at: row.started_at,
        params,
        conf,
        task_id: String::new(),
        try_number: 0,
        map_index: -1,
        map: Map::new(),
        tasks: BTreeMap::new(),
        trigger: None,
        run_dir: String::new(),
        result: None,
        found: Arc::default(),
        asset_events: Map::new(),
        looked_up: LookedUp::default(),
        own: Own::default(),
    }
}

/// What the templates of a trigger's `params` see: the batch, before there is a run.
pub fn of_batch(dag: &Dag, trigger: &Value) -> Facts {
    Facts {
        dag_id: dag.id.clone(),
        timezone: dag.timezone.clone(),
        run_id: String::new(),
        run_type: String::new(),
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        run_after: None,
        run_started_at: None,
        params: Map::new(),
        conf: Map::new(),
        task_id: String::new(),
        try_number: 0,
        map_index: -1,
        map: Map::new(),
        tasks: BTreeMap::new(),
        trigger: trigger.as_object().cloned(),
        run_dir: String::new(),
        result: None,
        found: Arc::default(),
        asset_events: Map::new(),
        looked_up: LookedUp::default(),
        own: Own::default(),
    }
}

/// The parameters of a run, by the trigger's templates. One that cannot be rendered is left out,
/// so that it has its default: a record must not be lost for it.
pub fn conf_of(dag: &Dag, params: &[(String, String)], trigger: &Value) -> Value {
    let facts = of_batch(dag, trigger);
    let mut conf = Map::new();
    for (name, text) in params {
        match tidemill_template::render_value(text, &facts) {
            Ok(value) => {
                conf.insert(name.clone(), value);
            }
            Err(err) => {
                tracing::warn!(dag.id = %dag.id, param = %name, %err, "A parameter of a stream's run has its default");
            }
        }
    }
    Value::Object(conf)
}

/// The longest name of a run that a trigger gives, in characters.
const NAME_MAX: usize = 200;

/// What a run is called, by the trigger's template: what a name cannot have becomes `_`. `None`
/// where the template cannot be rendered or gives nothing: a record must not be lost for it.
pub fn name_of(dag: &Dag, text: Option<&str>, trigger: &Value) -> Option<String> {
    let text = text?;
    let facts = of_batch(dag, trigger);
    let rendered = tidemill_template::render(text, &facts);
    let logged = rendered.inspect_err(|err| {
        tracing::warn!(dag.id = %dag.id, %err, "A run of a trigger has the usual name");
    });
    let fits = |c: char| c.is_alphanumeric() || "_.~:+-@".contains(c);
    let name = logged.ok()?.trim().to_string();
    let chars = name.chars().take(NAME_MAX);
    let name: String = chars.map(|c| if fits(c) { c } else { '_' }).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Has a stream made a run?
pub fn is_of_stream(row: &RunRow) -> bool {
    row.cause
        .as_deref()
        .is_some_and(|cause| cause.starts_with("kafka:"))
}

/// Where the records of a run of a stream lie.
pub fn records_file(runs: &Path, run: RunNo) -> PathBuf {
    runs.join(run.to_string()).join("records.ndjson")
}

/// Writes the records of a run, as [`lay_out`].
///
/// # Errors
/// When the run's folder cannot be written.
pub fn lay_out_records(file: &Path, records: &[u8]) -> std::io::Result<()> {
    lay_out(file, |draft| draft.write_all(records))
}

/// Writes a file for the tasks of a run, so that it appears whole. Others may write the same file
/// at the same time, where workers share the folder.
///
/// # Errors
/// When the run's folder cannot be written, or as `write`.
pub fn lay_out(
    file: &Path,
    write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let (pid, number) = (
        std::process::id(),
        LAST_DRAFT.fetch_add(1, Ordering::Relaxed),
    );
    let draft = file.with_extension(format!("new-{host}-{pid}-{number}"));
    let written = std::fs::File::create(&draft)
        .and_then(|mut draft| write(&mut draft))
        .and_then(|()| std::fs::rename(&draft, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft); // it may not even be there
    }
    written
}

/// What templates see as `trigger`, with the place of the records.
pub fn of_trigger(facts: &Value, file: &Path) -> Map<String, Value> {
    let mut facts = facts.as_object().cloned().unwrap_or_default();
    let file = file.to_string_lossy().into_owned();
    facts.insert("records_file".to_string(), Value::from(file));
    facts
}

/// What a webhook or a file has told of the run that it made, from the values that the run keeps
/// of its own.
pub fn of_happening(values: &[ValueRow]) -> Option<Map<String, Value>> {
    let mut own = values.iter().filter(|value| value.task_no == RUN_ITSELF);
    let told = own.find(|value| value.key == HAPPENING)?;
    Some(with_json(told.value.as_object()?.clone()))
}

/// Adds what the body of a call says as JSON; null where it is none.
pub fn with_json(mut told: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(body)) = told.get("body") {
        let json = serde_json::from_str(body).unwrap_or(Value::Null);
        told.insert("json".to_string(), json);
    }
    told
}

/// The events that a run was made for, from the values that it keeps of its own.
pub fn asset_events(values: &[ValueRow]) -> Map<String, Value> {
    let mut own = values.iter().filter(|value| value.task_no == RUN_ITSELF);
    let found = own.find(|value| value.key == TRIGGERING_EVENTS);
    let events = found.and_then(|found| found.value.as_object());
    events.cloned().unwrap_or_default()
}

/// How many instances a mapped task has, by their states.
pub fn n_instances(states: impl Iterator<Item = TaskState>) -> u32 {
    let there = states.filter(|state| *state != TaskState::Removed).count();
    u32::try_from(there).unwrap_or(u32::MAX)
}

/// What templates see of one upstream task: `states` are those of its instances, by map index.
/// The values of a mapped task are lists, with null where an instance has none.
pub fn of_upstream<'v>(
    task: &Task,
    states: &[TaskState],
    values: impl Iterator<Item = &'v ValueRow>,
) -> TaskFacts {
    let mut facts = TaskFacts {
        state: worst(states).name().to_string(),
        ..TaskFacts::default()
    };
    for state in states {
        *facts.states.entry(state.name().to_string()).or_default() += 1;
    }
    if task.mapping.is_none() {
        facts.values = values
            .map(|value| (value.key.clone(), value.value.clone()))
            .collect();
        return facts;
    }
    let mut lists: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let blank = || vec![Value::Null; states.len()];
    lists.insert("return_value".to_string(), blank());
    for value in values {
        let list = lists.entry(value.key.clone()).or_insert_with(blank);
        let index = usize::try_from(value.map_index.0).ok();
        if let Some(place) = index.and_then(|index| list.get_mut(index)) {
            *place = value.value.clone();
        }
    }
    let lists = lists.into_iter();
    facts.values = lists.map(|(key, list)| (key, Value::Array(list))).collect();
    facts
}

/// The state of a task as a whole: that of its one instance, or the worst of its instances.
fn worst(states: &[TaskState]) -> TaskState {
    let order = [
        TaskState::Failed,
        TaskState::UpstreamFailed,
        TaskState::Running,
        TaskState::Success,
        TaskState::Skipped,
    ];
    let worst = order.into_iter().find(|state| states.contains(state));
    worst.or(states.first().copied()).unwrap_or(TaskState::None)
}
