//! `variables`: list, get, set, delete, import, export.

use super::client::{Client, Where, escape};
use super::connections::all;
use super::print::{Printer, json, line, text};
use super::secrets::{read_input, write_private};
use crate::args::Variables;
use crate::exit::{Exit, Failure};
use serde_json::{Map, Value, json};
use tidemill_connection::{
    ReadVariable, Variable, is_sensitive, read_variables, variables_to_json,
};

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
            let found = read_variables(&read_input(&file)?);
            let found = found.map_err(|err| Failure::new(Exit::Usage, err.what))?;
            for one in &found {
                keep(&client, &one.key, body_of(one), overwrite).await?;
            }
            line(&format!("{} variables are kept", found.len()));
        }
        Variables::Export { file } => {
            let whole = client.get("/api/tidemill/v1/secrets/export").await?;
            let variables = variables_to_json(&of_export(&whole["variables"]));
            write_private(&file, &format!("{variables:#}\n"))?;
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

/// What is sent for a variable of a file.
fn body_of(one: &ReadVariable) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("value".to_string(), json!(one.value.expose()));
    if let Some(description) = &one.description {
        body.insert("description".to_string(), json!(description));
    }
    if let Some(is_marked) = one.is_marked {
        body.insert("is_secret".to_string(), json!(is_marked));
    }
    body
}

/// Variables with their values, as the socket gives them.
fn of_export(variables: &Value) -> Vec<Variable> {
    let one = |(key, long): (&String, &Value)| Variable {
        description: long["description"].as_str().map(str::to_string),
        is_marked: long["is_secret"] == json!(true),
        ..Variable::new(key, text(long, "value"))
    };
    variables
        .as_object()
        .into_iter()
        .flatten()
        .map(one)
        .collect()
}

fn show(printer: &Printer, found: Vec<Value>) {
    let keys = ["key", "value", "description"];
    let row = |one: &Value| keys.map(|key| text(one, key).to_string()).to_vec();
    let rows = found.iter().map(row).collect();
    printer.list(&["variable", "value", "description"], rows, &json!(found));
}
