//! What the instances of a mapped task are about: the lists of `expand` rendered and combined.

use crate::AttemptSpec;
use crate::render::{could_not_start, render, render_value, shortened};
use serde_json::{Map, Value};
use tidemill_model::dag::{INSTANCES_MAX, Mapping, Over, Values};
use tidemill_model::{MapItem, Outcome};
use tidemill_template::Facts;

/// The most that the values of all instances of a task may hold, in bytes of JSON.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The outcome of the attempt that expands a mapped task.
pub(crate) fn outcome(mapping: &Mapping, spec: &AttemptSpec) -> Outcome {
    match items(mapping, &spec.facts) {
        Ok(items) => Outcome {
            items: Some(items),
            ..Outcome::success()
        },
        Err(message) => could_not_start(message),
    }
}

fn items(mapping: &Mapping, facts: &Facts) -> Result<Vec<MapItem>, String> {
    let values = match &mapping.over {
        Over::Product(lists) => product(lists, facts)?,
        Over::Objects(list) => objects(list, facts)?,
        // Asked for only where the other task has ended without instances.
        Over::Each { .. } => Vec::new(),
    };
    if mapping.label.is_none() {
        let plain = |values| MapItem {
            values,
            label: None,
        };
        return Ok(values.into_iter().map(plain).collect());
    }
    let mut facts = facts.clone();
    let label = mapping.label.as_deref().unwrap_or_default();
    values
        .into_iter()
        .enumerate()
        .map(|(at, values)| {
            facts.map_index = i32::try_from(at).unwrap_or(i32::MAX);
            facts.map = values;
            let label =
                render(label, &facts).map_err(|err| format!("map_index_template: {err}"))?;
            Ok(MapItem {
                values: std::mem::take(&mut facts.map),
                label: Some(label.into_owned()),
            })
        })
        .collect()
}

/// Each combination of one value from each list; the last list changes fastest.
fn product(lists: &[(String, Values)], facts: &Facts) -> Result<Vec<Map<String, Value>>, String> {
    let mut rendered = Vec::with_capacity(lists.len());
    let mut n_instances = 1usize;
    let mut bytes = 0usize;
    for (name, values) in lists {
        let list = list(&format!("expand.{name}"), values, facts)?;
        n_instances = n_instances.saturating_mul(list.len());
        bytes = bytes.saturating_add(size(&list) / list.len().max(1));
        rendered.push((name, list));
    }
    check(n_instances, bytes.saturating_mul(n_instances))?;
    let combination = |number: usize| {
        let mut rest = number;
        let mut values: Vec<(String, Value)> = Vec::with_capacity(rendered.len());
        for (name, list) in rendered.iter().rev() {
            values.push(((*name).clone(), list[rest % list.len()].clone()));
            rest /= list.len();
        }
        values.into_iter().rev().collect()
    };
    Ok((0..n_instances).map(combination).collect())
}

fn objects(values: &Values, facts: &Facts) -> Result<Vec<Map<String, Value>>, String> {
    let list = list("expand_kwargs", values, facts)?;
    check(list.len(), size(&list))?;
    list.into_iter()
        .map(|item| match item {
            Value::Object(values) => Ok(values),
            other => Err(format!(
                "expand_kwargs needs a list of objects; it holds {}",
                shortened(&other)
            )),
        })
        .collect()
}

fn size(list: &[Value]) -> usize {
    serde_json::to_vec(list).map_or(0, |bytes| bytes.len())
}

fn check(n_instances: usize, bytes: usize) -> Result<(), String> {
    if n_instances > INSTANCES_MAX {
        return Err(format!(
            "expand gives {n_instances} instances; the limit is {INSTANCES_MAX}"
        ));
    }
    if bytes > BYTES_MAX {
        return Err(format!(
            "the values of {n_instances} instances take more than {BYTES_MAX} bytes"
        ));
    }
    Ok(())
}

/// A list, or the pairs of an object as in Airflow.
fn list(name: &str, values: &Values, facts: &Facts) -> Result<Vec<Value>, String> {
    let told = |err: tidemill_template::TemplateError| format!("{name}: {err}");
    match values {
        Values::List(items) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => render_value(text, facts).map_err(told),
                other => Ok(other.clone()),
            })
            .collect(),
        Values::Template(text) => match render_value(text, facts).map_err(told)? {
            Value::Array(items) => Ok(items),
            Value::Object(pairs) => Ok(pairs
                .into_iter()
                .map(|(key, value)| Value::from(vec![Value::String(key), value]))
                .collect()),
            other => Err(format!(
                "{name} must be a list, it is {}",
                shortened(&other)
            )),
        },
    }
}
