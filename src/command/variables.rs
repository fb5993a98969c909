//! `variables`: list, get, set, delete, import, export.

use super::client::{Client, Where, escape};
use super::connections::all;
use super::print::{Printer, json, line, text};
use super::secrets::{read_input, write_private};
use crate::args::Variables;
use crate::exit::{Exit, Failure};
use serde_json::{Map, Value, json};
use tidemill_connection::is_sensitive;

const ADDRESS: &str = "/api/v2/variables";

/// Runs one of the verbs.
pub async fn variables(printer: &Printer, at: &Where, verb: Variables) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    match verb {
        Variables::List => show(printer, all(&client, ADDRESS, "variables").await?),
        Variables::Get { variable } => {
            let found = client
                .get(&format!("{ADDRESS}/{}", escape(&variable)))
                .await?;
            if printer.is_json() {
                json(&found);
            } else {
                line(text(&found, "value"));
            }
        }
        Variables::Set {
            variable,
            value,
            file,
            description,
            secret,
        } => {
            if value.is_some() && (secret || is_sensitive(&variable)) {
                let what = "a secret stands on the command line, where everybody on this machine can read it";
                return Err(
                    Failure::new(Exit::Usage, what).hint("give it by --file, - for standard input")
                );
            }
            let from_file = file.as_ref().map(|file| read_input(file)).transpose()?;
            let mut body = Map::new();
            if let Some(value) = value.or(from_file) {
                body.insert("value".to_string(), json!(value));
            }
            if let Some(description) = description {
                body.insert("description".to_string(), json!(description));
            }
            if secret {
                body.insert("is_secret".to_string(), json!(true));
            }
            let kept = keep(&client, &variable, body, true).await?;
            if printer.is_json() {
                json(&kept);
            } else {
                show(printer, vec![kept]);
            }
        }
        Variables::Delete { variable } => {
            let path = format!("{ADDRESS}/{}", escape(&variable));
            client.send("DELETE", &path, None).await?;
            line(&format!("variable {variable} is deleted"));
        }
        Variables::Import { file, overwrite } => {
            let found = read_all(&read_input(&file)?)?;
            for (key, body) in &found {
                keep(&client, key, body.clone(), overwrite).await?;
            }
            line(&format!("{} variables are kept", found.len()));
        }
        Variables::Export { file } => {
            let whole = client.get("/api/tidemill/v1/secrets/export").await?;
            write_private(&file, &format!("{:#}\n", exported(&whole["variables"])))?;
        }
    }
    Ok(Exit::Ok)
}

/// Changes the variable, or makes it where there is none.
async fn keep(
    client: &Client,
    key: &str,
    mut body: Map<String, Value>,
    overwrite: bool,
) -> Result<Value, Failure> {
    let path = format!("{ADDRESS}/{}", escape(key));
    if overwrite {
        match client.send("PATCH", &path, Some(&json!(body))).await {
            Err(failure) if failure.exit == Exit::NotFound => {}
            done => return done,
        }
    }
    body.insert("key".to_string(), json!(key));
    client.send("POST", ADDRESS, Some(&json!(body))).await
}

/// A variable's name and what is sent for it.
type Named = (String, Map<String, Value>);

/// Airflow's JSON: `{NAME: value}`, or `{NAME: {"value": …, "description": …}}`. A value that is
/// no text is kept as its JSON.
fn read_all(text: &str) -> Result<Vec<Named>, Failure> {
    let whole: Map<String, Value> = serde_json::from_str(text).map_err(|err| {
        let what = format!("not JSON: line {}, column {}", err.line(), err.column());
        Failure::new(Exit::Usage, what)
    })?;
    let plain = |value: &Value| match value {
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    };
    let one = |(key, value): (String, Value)| {
        let mut body = Map::new();
        match value
            .as_object()
            .filter(|object| object.contains_key("value"))
        {
            Some(long) => {
                body.insert("value".to_string(), plain(&long["value"]));
                for part in ["description", "is_secret"] {
                    if let Some(value) = long.get(part) {
                        body.insert(part.to_string(), value.clone());
                    }
                }
            }
            None => {
                body.insert("value".to_string(), plain(&value));
            }
        }
        (key, body)
    };
    Ok(whole.into_iter().map(one).collect())
}

/// As Airflow writes them: objects and lists as such, everything else as its text.
fn exported(variables: &Value) -> Value {
    let one = |(key, long): (&String, &Value)| {
        let text = text(long, "value");
        let value = match serde_json::from_str(text) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
            _ => json!(text),
        };
        let is_secret = long["is_secret"] == json!(true);
        if long["description"].is_null() && !is_secret {
            return (key.clone(), value);
        }
        let mut whole = Map::new();
        whole.insert("value".to_string(), value);
        whole.insert("description".to_string(), long["description"].clone());
        if is_secret {
            whole.insert("is_secret".to_string(), json!(true));
        }
        (key.clone(), Value::Object(whole))
    };
    let variables = variables.as_object().into_iter().flatten();
    Value::Object(variables.map(one).collect())
}

fn show(printer: &Printer, found: Vec<Value>) {
    let keys = ["key", "value", "description"];
    let row = |one: &Value| keys.map(|key| text(one, key).to_string()).to_vec();
    let rows = found.iter().map(row).collect();
    printer.list(&["variable", "value", "description"], rows, &json!(found));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_imported_as_the_same() {
        let whole = json!({
            "a": {"value": "007", "description": null, "is_secret": false},
            "b": {"value": "{\"x\":[1]}", "description": "deep", "is_secret": false},
            "c": {"value": "s", "description": null, "is_secret": true},
        });
        let text = exported(&whole).to_string();
        assert_eq!(exported(&whole)["a"], json!("007"));
        assert_eq!(exported(&whole)["b"]["value"], json!({"x": [1]}));
        for (key, body) in read_all(&text).unwrap() {
            assert_eq!(body["value"], whole[&key]["value"], "{key}");
            let marked = body.get("is_secret") == Some(&json!(true));
            assert_eq!(marked, whole[&key]["is_secret"] == json!(true), "{key}");
        }
    }
}
