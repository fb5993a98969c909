//! Connections and variables as files of Airflow's form: what a page gives away and takes in.
//! Values that are secret go in and never come out: `***` stands for them, and leaves what is kept
//! as it is when the file comes back.

use super::outside::{show_connections, show_variables};
use super::{PageResult, ask};
use crate::Web;
use crate::api::{connections, variables};
use crate::error::Fault;
use axum::Form;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use std::collections::HashMap;
use tidemill_connection::{
    Connection, HIDDEN, ReadVariable, Secret, Unusable, Variable, is_hidden_mark, read_connections,
    read_variables, to_json, variables_to_json,
};
use tidemill_store::{Command, ConnectionChange, ConnectionRecord, OutsideWish, VariableChange};

type Fields = HashMap<String, String>;

/// The connections as a file, without passwords and extras.
pub(crate) async fn export_connections(State(web): State<Web>) -> PageResult {
    let all = connections(&web).await?;
    let all = all.into_iter().map(|one| {
        let id = one.id.clone();
        (id, to_json(&without_secrets(one)))
    });
    let all: Map<String, Value> = all.collect();
    Ok(file("connections.json", &Value::Object(all)))
}

fn without_secrets(record: ConnectionRecord) -> Connection {
    let hidden = |sealed: Option<Vec<u8>>| sealed.map(|_| Secret::from(HIDDEN));
    Connection {
        id: record.id,
        conn_type: record.conn_type,
        description: record.description,
        host: record.host,
        port: record.port,
        login: record.login,
        password: hidden(record.password),
        schema: record.schema,
        extra: hidden(record.extra),
    }
}

/// The variables as a file, without the values of those that are secret.
pub(crate) async fn export_variables(State(web): State<Web>) -> PageResult {
    let all = variables(&web)
        .await?
        .into_iter()
        .map(|one| match one.is_secret() {
            true => Variable {
                value: Secret::from(HIDDEN),
                ..one
            },
            false => one,
        });
    let all: Vec<Variable> = all.collect();
    Ok(file("variables.json", &variables_to_json(&all)))
}

fn file(name: &str, whole: &Value) -> Response {
    let kept = format!("attachment; filename=\"{name}\"");
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_string()),
        (header::CONTENT_DISPOSITION, kept),
    ];
    (headers, format!("{whole:#}\n")).into_response()
}

/// Takes in the connections of a file.
pub(crate) async fn import_connections(
    State(web): State<Web>,
    Form(form): Form<Fields>,
) -> PageResult {
    let (text, is_new) = asked(&form);
    let found = read_connections(text).map_err(unreadable)?;
    let wishes = found.into_iter().map(|one| {
        let (id, change) = (one.id.clone(), Box::new(connection_change(one)));
        (
            id.clone(),
            OutsideWish::SetConnection { id, change, is_new },
        )
    });
    let told = take_all(&web, wishes, "connections").await?;
    show_connections(&web, Some(told)).await
}

/// Takes in the variables of a file.
pub(crate) async fn import_variables(
    State(web): State<Web>,
    Form(form): Form<Fields>,
) -> PageResult {
    let (text, is_new) = asked(&form);
    let found = read_variables(text).map_err(unreadable)?;
    let wishes = found.into_iter().map(|one| {
        let (key, change) = (one.key.clone(), variable_change(one));
        (
            key.clone(),
            OutsideWish::SetVariable {
                key,
                change,
                is_new,
            },
        )
    });
    let told = take_all(&web, wishes, "variables").await?;
    show_variables(&web, Some(told)).await
}

/// The text of the form, and whether what is in it must be new.
fn asked(form: &Fields) -> (&str, Option<bool>) {
    let text = form.get("text").map_or("", String::as_str);
    (text, (!form.contains_key("overwrite")).then_some(true))
}

fn unreadable(err: Unusable) -> Fault {
    Fault::invalid("body", "text", err.what)
}

/// All of it, but for secrets that are not shown.
fn connection_change(connection: Connection) -> ConnectionChange {
    let change = ConnectionChange::all_of(connection);
    let is_shown = |secret: &Option<Secret>| !secret.as_ref().is_some_and(is_hidden_mark);
    ConnectionChange {
        password: change.password.filter(is_shown),
        extra: change.extra.filter(is_shown),
        ..change
    }
}

fn variable_change(read: ReadVariable) -> VariableChange {
    VariableChange {
        value: Some(read.value).filter(|value| !is_hidden_mark(value)),
        description: read.description.map(Some),
        is_marked: read.is_marked,
    }
}

/// Keeps each that can be kept; the rest is told by name, with why.
async fn take_all(
    web: &Web,
    wishes: impl Iterator<Item = (String, OutsideWish)>,
    what: &str,
) -> Result<(bool, String), Fault> {
    let (mut n_kept, mut refused) = (0, Vec::new());
    for (name, wish) in wishes {
        match ask(web, Command::Outside(wish)).await {
            Ok(_) => n_kept += 1,
            Err(fault) if fault.status.is_client_error() => {
                refused.push(format!("{name}: {}", fault.detail));
            }
            Err(fault) => return Err(fault),
        }
    }
    let mut told = format!("{n_kept} {what} are kept");
    if !refused.is_empty() {
        told = format!("{told}, {} are not: {}", refused.len(), refused.join("; "));
    }
    Ok((refused.is_empty(), told))
}
