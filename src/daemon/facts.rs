//! What the templates of one attempt see, from stored rows. The engine and workers in other
//! processes tell it alike.

use std::collections::BTreeMap;
use std::path::Path;
use tidemill_model::{Dag, RunRow, TaskIndex};
use tidemill_store::ValueRow;
use tidemill_template::{Facts, TaskFacts};

/// Which attempt, besides its task.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its try, from 1.
    pub try_number: i32,
    /// Its place in a mapped task.
    pub map_index: i32,
}

/// What an attempt's templates see.
pub fn of_attempt(
    row: &RunRow,
    dag: &Dag,
    at: TaskIndex,
    place: Place,
    run_dir: &Path,
    tasks: BTreeMap<String, TaskFacts>,
) -> Facts {
    Facts {
        task_id: dag.task(at).id.clone(),
        try_number: place.try_number,
        map_index: place.map_index,
        tasks,
        run_dir: run_dir.to_string_lossy().into_owned(),
        ..of_run(row, dag)
    }
}

/// What a template outside of any task sees.
pub fn of_run(row: &RunRow, dag: &Dag) -> Facts {
    let conf = row.conf.as_object().cloned().unwrap_or_default();
    let defaults = dag.params.iter();
    let mut params: serde_json::Map<_, _> = defaults
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
        params,
        conf,
        task_id: String::new(),
        try_number: 0,
        map_index: -1,
        tasks: BTreeMap::new(),
        run_dir: String::new(),
        result: None,
    }
}

/// What templates see of one upstream task.
pub fn of_upstream<'v>(state: &str, values: impl Iterator<Item = &'v ValueRow>) -> TaskFacts {
    TaskFacts {
        state: state.to_string(),
        values: values
            .map(|value| (value.key.clone(), value.value.clone()))
            .collect(),
    }
}
