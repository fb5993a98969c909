//! What the names of templates have, so that a slip of the pen is found when the file is read; and
//! names that Airflow has or had and templates here have not, with what to write instead.

use crate::analysis::Named;
use crate::macros::MACROS;
use crate::moment::{FIELDS, METHODS};
use crate::scope::{DAG, DAG_RUN, DATES, TASK, TASK_INSTANCE};

/// A name that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The name, with what it was asked of, and its place.
    pub named: Named,
    /// What is there instead.
    pub instead: String,
}

/// Names of Airflow's context without a value here (`sdk:definitions/context.py`; those of Airflow
/// 2 that its version 3 has dropped as well).
#[rustfmt::skip]
const GONE: &[(&str, &str)] = &[
    ("execution_date", "it is `logical_date` since Airflow 2.2"),
    ("next_execution_date", "write `data_interval_end`"),
    ("next_ds", "write `data_interval_end | ds`"),
    ("next_ds_nodash", "write `data_interval_end | ds_nodash`"),
    ("prev_execution_date", "write `data_interval_start`, or `prev_data_interval_start_success`"),
    ("prev_execution_date_success", "write `prev_data_interval_start_success`"),
    ("prev_ds", "write `data_interval_start | ds`, or `macros.ds_add(ds, -1)`"),
    ("prev_ds_nodash", "write `data_interval_start | ds_nodash`"),
    ("tomorrow_ds", "write `macros.ds_add(ds, 1)`"),
    ("tomorrow_ds_nodash", "write `macros.ds_add(ds, 1) | ds_nodash`"),
    ("yesterday_ds", "write `macros.ds_add(ds, -1)`"),
    ("yesterday_ds_nodash", "write `macros.ds_add(ds, -1) | ds_nodash`"),
    ("conf", "the values of a run are `dag_run.conf`; settings of the server are not seen"),
    ("templates_dict", "give the values to the task by `env`, or by `kwargs` of `python`"),
    ("inlet_events", "the events that a run was made for are `triggering_asset_events`"),
    ("outlet_events", "say it in the file: outlets = [{ asset = \"NAME\", extra = { … } }]"),
    ("task_reschedule_count", "a sensor is one try, however often it looks"),
    ("task_state_store", "what a task keeps is in `outputs`"),
    ("asset_state_store", "what is said of an asset is the `extra` of its events"),
];

/// The same of `macros`.
#[rustfmt::skip]
const GONE_MACROS: &[(&str, &str)] = &[
    ("timedelta", "dates have `add` and `subtract`: `logical_date.subtract(days=1)`"),
    ("dateutil", "dates have `add` and `subtract`: `logical_date.add(months=1)`"),
    ("datetime_diff_for_humans", "subtract `timestamp()` of two dates"),
    ("ds_format_locale", "write `macros.ds_format`, which knows English alone"),
    ("yaml", "there is JSON: `macros.json.loads`"),
    ("time", "a template is the same at every try; let the task ask for the time"),
    ("random", "a template is the same at every try; let the task draw the number"),
    ("uuid", "a template is the same at every try; `run_id` and `ti.task_id` name it"),
];

/// A name at the top that Airflow has.
pub(crate) fn gone(name: &str) -> Option<&'static str> {
    instead(GONE, name)
}

fn instead(list: &'static [(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    list.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, instead)| *instead)
}

/// What a name has, where that is a closed list.
fn fields_of(root: &str) -> Option<Vec<&'static str>> {
    let fields = match root {
        "dag" => DAG,
        "dag_run" => DAG_RUN,
        "task" => TASK,
        "ti" | "task_instance" => TASK_INSTANCE,
        "macros" => MACROS,
        root if DATES.contains(&root) => return Some([FIELDS, METHODS].concat()),
        _ => return None,
    };
    Some(fields.to_vec())
}

/// Says that a name has no such field or method, where that is known.
pub(crate) fn check(root: &str, field: &Named) -> Option<Absent> {
    let known = fields_of(root)?;
    let name = field.name.as_str();
    if known.contains(&name) {
        return None;
    }
    let of_macros = (root == "macros")
        .then(|| instead(GONE_MACROS, name))
        .flatten();
    let instead = of_macros.map_or_else(
        || format!("`{root}` has {}", known.join(", ")),
        str::to_string,
    );
    let named = Named {
        name: format!("{root}.{name}"),
        range: field.range.clone(),
    };
    Some(Absent { named, instead })
}
