//! `trigger_dag_run`: renders which run is wanted. Making it is the scheduler's.

use crate::render::{could_not_start, render, render_value, shortened};
use serde_json::Value;
use tidemill_model::attempt::{ChildDate, ChildWish};
use tidemill_model::dag::TriggerDagRun;
use tidemill_model::{JsonObject, Outcome, Ts};
use tidemill_template::Facts;

/// The most that the parameters of a run may hold, in bytes of JSON.
const CONF_BYTES_MAX: usize = 1024 * 1024;

/// The outcome of an attempt that starts a run.
pub(crate) fn outcome(trigger: &TriggerDagRun, facts: &Facts) -> Outcome {
    match wish(trigger, facts) {
        Ok(wish) => Outcome {
            child: Some(Box::new(wish)),
            ..Outcome::success()
        },
        Err(message) => could_not_start(message),
    }
}

fn wish(trigger: &TriggerDagRun, facts: &Facts) -> Result<ChildWish, String> {
    let text = |name: &str, text: &str| {
        let rendered = render(text, facts).map_err(|err| format!("{name}: {err}"))?;
        Ok::<String, String>(rendered.into_owned())
    };
    let maybe = |name: &str, template: &Option<String>| {
        let rendered = template.as_ref().map(|template| text(name, template));
        rendered.transpose()
    };
    Ok(ChildWish {
        dag_id: text("dag_id", &trigger.dag_id)?,
        run_id: maybe("run_id", &trigger.run_id)?,
        date: date(trigger.logical_date.as_deref(), facts)?,
        conf: conf(trigger.conf.as_ref(), facts)?,
        note: maybe("note", &trigger.note)?,
    })
}

fn date(template: Option<&str>, facts: &Facts) -> Result<ChildDate, String> {
    let Some(template) = template else {
        return Ok(ChildDate::Present);
    };
    let value = render_value(template, facts).map_err(|err| format!("logical_date: {err}"))?;
    let text = match &value {
        Value::Null => return Ok(ChildDate::None),
        Value::String(text) => text.trim(),
        other => {
            return Err(format!(
                "logical_date is {}, which is no date",
                shortened(other)
            ));
        }
    };
    if matches!(text, "" | "none" | "None") {
        return Ok(ChildDate::None);
    }
    // A template may write a date as Python does, with a blank.
    let read = Ts::parse_in(&text.replacen(' ', "T", 1), &facts.timezone);
    read.map(ChildDate::At)
        .map_err(|err| format!("logical_date: {err}"))
}

fn conf(conf: Option<&Value>, facts: &Facts) -> Result<JsonObject, String> {
    let rendered = match conf {
        None => return Ok(JsonObject::new()),
        Some(conf) => rendered("conf", conf, facts)?,
    };
    let size = rendered.to_string().len();
    if size > CONF_BYTES_MAX {
        return Err(format!(
            "conf has {size} bytes; the limit is {CONF_BYTES_MAX}"
        ));
    }
    match rendered {
        Value::Object(conf) => Ok(conf),
        Value::Null => Ok(JsonObject::new()),
        other => Err(format!(
            "conf must be an object, it is {}",
            shortened(&other)
        )),
    }
}

/// A value with its texts rendered. The file format bounds its depth.
fn rendered(name: &str, value: &Value, facts: &Facts) -> Result<Value, String> {
    match value {
        Value::String(text) => render_value(text, facts).map_err(|err| format!("{name}: {err}")),
        Value::Array(items) => items
            .iter()
            .map(|item| rendered(name, item, facts))
            .collect(),
        Value::Object(pairs) => pairs
            .iter()
            .map(|(key, value)| {
                let value = rendered(&format!("{name}.{key}"), value, facts)?;
                Ok((key.clone(), value))
            })
            .collect(),
        other => Ok(other.clone()),
    }
}
