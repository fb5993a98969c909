//! What an alert says: its own texts, rendered, or what happened in one line.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_model::Ts;
use tidemill_model::alert::Alert;
use tidemill_template::{Facts, render, render_value};

/// The rendered texts of one alert.
pub(super) struct Words {
    /// What happened, for receivers that read JSON.
    pub event: Value,
    /// The message.
    pub text: String,
    /// The subject of a mail.
    pub subject: String,
    /// The body of a webhook, where the file gives one.
    pub json: Option<Value>,
    facts: Facts,
}

impl Words {
    /// Renders them.
    pub(super) fn new(alert: &Alert, event: &Value, home: &str) -> Result<Words, String> {
        let mut event = event.clone();
        let url = link(&event, home);
        event["url"] = json!(url);
        let facts = facts(&event);
        let line = one_line(&event);
        let text = match &alert.text {
            Some(text) => rendered("text", text, &facts)?,
            None => format!("{line}\n{url}"),
        };
        let subject = match &alert.subject {
            Some(subject) => rendered("subject", subject, &facts)?,
            None => line,
        };
        let json = alert
            .json
            .as_ref()
            .map(|json| tree(json, &facts))
            .transpose()?;
        event["text"] = json!(text);
        Ok(Words {
            event,
            text,
            // A line break would begin another header.
            subject: subject.split(['\r', '\n']).collect::<Vec<_>>().join(" "),
            json,
            facts,
        })
    }

    /// Renders another text of the alert.
    pub(super) fn render(&self, key: &str, text: &str) -> Result<String, String> {
        rendered(key, text, &self.facts)
    }

    /// A field of the event as text; nothing when there is none.
    pub(super) fn field(&self, key: &str) -> String {
        plain(&self.event[key])
    }
}

fn rendered(key: &str, text: &str, facts: &Facts) -> Result<String, String> {
    render(text, facts).map_err(|err| format!("{key}: {err}"))
}

fn tree(value: &Value, facts: &Facts) -> Result<Value, String> {
    match value {
        Value::String(text) => render_value(text, facts).map_err(|err| format!("json: {err}")),
        Value::Array(items) => items.iter().map(|item| tree(item, facts)).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Ok((name.clone(), tree(value, facts)?));
            fields.iter().map(field).collect()
        }
        other => Ok(other.clone()),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn one_line(event: &Value) -> String {
    let of = |key: &str| plain(&event[key]);
    let what = match event["event"].as_str().unwrap_or_default() {
        "on_execute" => "has begun",
        "on_success" => "succeeded",
        "on_retry" => "failed and is tried again",
        "on_skipped" => "was skipped",
        "deadline" => "is late",
        _ => "failed",
    };
    let mut line = match event["task_id"].as_str() {
        Some(task) => format!(
            "{}: task {task} {what} in run {}",
            of("dag_id"),
            of("run_id")
        ),
        None => format!("{}: run {} {what}", of("dag_id"), of("run_id")),
    };
    if let (Some(n), Some(max)) = (event["try_number"].as_i64(), event["max_tries"].as_i64()) {
        line.push_str(&format!(" (try {n} of {})", (max + 1).max(n)));
    }
    let message = of("message");
    if let Some(last) = message.lines().rfind(|line| !line.trim().is_empty()) {
        line.push_str(&format!(": {last}"));
    }
    line
}

fn link(event: &Value, home: &str) -> String {
    let part = |key: &str| {
        let text = plain(&event[key]);
        let text = text.bytes().map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        });
        text.collect::<String>()
    };
    let run = format!("{home}/dags/{}/runs/{}", part("dag_id"), part("run_id"));
    match event["task_id"].as_str() {
        Some(_) => format!("{run}/tasks/{}", part("task_id")),
        None => run,
    }
}

/// What the templates of an alert see. `exception` and `reason` are Airflow's names.
fn facts(event: &Value) -> Facts {
    let of = |key: &str| plain(&event[key]);
    let instant = |key: &str| -> Option<Ts> { serde_json::from_value(event[key].clone()).ok()? };
    let object = |key: &str| event[key].as_object().cloned().unwrap_or_default();
    let number = |key: &str| i32::try_from(event[key].as_i64().unwrap_or(0)).unwrap_or(0);
    let told: Map<String, Value> = [
        ("exception", json!(of("message"))),
        ("reason", json!(of("reason"))),
        ("state", json!(of("state"))),
        ("url", json!(of("url"))),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into_iter()
    .collect();
    Facts {
        dag_id: of("dag_id"),
        timezone: of("timezone"),
        run_id: of("run_id"),
        run_type: of("run_type"),
        logical_date: instant("logical_date"),
        data_interval_start: instant("data_interval_start"),
        data_interval_end: instant("data_interval_end"),
        run_after: instant("run_after"),
        run_started_at: instant("run_start_date"),
        params: object("params"),
        conf: object("conf"),
        task_id: of("task_id"),
        try_number: number("try_number"),
        map_index: event["map_index"]
            .as_i64()
            .map_or(-1, |_| number("map_index")),
        map: Map::new(),
        tasks: BTreeMap::new(),
        trigger: None,
        run_dir: String::new(),
        result: Some(Arc::new(told)),
        found: Arc::default(),
        asset_events: Map::new(),
        looked_up: Default::default(),
        own: Default::default(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use tidemill_model::alert::{AlertOn, Channel};

    fn event() -> Value {
        json!({
            "event": "on_failure", "dag_id": "etl", "run_id": "manual__1 2", "task_id": "load",
            "try_number": 4, "max_tries": 3, "map_index": -1, "state": "failed",
            "reason": "exit_status", "message": "first\nexit 2: no route\n", "timezone": "UTC",
            "run_type": "manual", "params": {"region": "eu"}, "conf": {},
        })
    }

    fn alert(text: Option<&str>, json: Option<Value>) -> Alert {
        Alert {
            on: AlertOn::Failure,
            channel: Channel::Slack("#ops".to_string()),
            connection: None,
            text: text.map(str::to_string),
            subject: Some("a\nBcc: b {{ task.task_id }}".to_string()),
            json,
        }
    }

    #[test]
    fn the_default_text_says_what_happened_and_where_to_look() {
        let words = Words::new(&alert(None, None), &event(), "http://h").unwrap();
        let want = "etl: task load failed in run manual__1 2 (try 4 of 4): exit 2: no route\n\
                    http://h/dags/etl/runs/manual__1%202/tasks/load";
        assert_eq!(words.text, want);
        assert_eq!(words.subject, "a Bcc: b load");
    }

    #[test]
    fn texts_are_rendered_and_values_of_the_event_are_not_rendered_again() {
        let mut event = event();
        event["message"] = json!("{{ ds }}");
        let text = "{{ dag.dag_id }} {{ params.region }} {{ exception }} {{ state }} {{ url }}";
        let json = json!({"n": "{{ try_number }}", "list": ["{{ reason }}"]});
        let words = Words::new(&alert(Some(text), Some(json)), &event, "").unwrap();
        let want = "etl eu {{ ds }} failed /dags/etl/runs/manual__1%202/tasks/load";
        assert_eq!(words.text, want);
        assert_eq!(words.json, Some(json!({"n": 4, "list": ["exit_status"]})));
    }
}
