//! Connections and variables: what there is, and the forms that set it. Values that are secret go
//! in and never come out.

use super::{Frame, PageResult, ask, go, show};
use crate::Web;
use crate::api::{connections, variables};
use crate::error::Fault;
use crate::view::text;
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use std::collections::HashMap;
use tidemill_connection::Secret;
use tidemill_store::{Command, ConnectionChange, OutsideWish, VariableChange};

type Fields = HashMap<String, String>;

struct ConnectionLine {
    id: String,
    url: String,
    conn_type: String,
    description: String,
    host: String,
    port: String,
    login: String,
    schema: String,
    has_password: bool,
    has_extra: bool,
}

#[derive(Template)]
#[template(path = "connections.html")]
struct Connections {
    frame: Frame,
    lines: Vec<ConnectionLine>,
    told: Option<(bool, String)>,
}

struct VariableLine {
    key: String,
    url: String,
    description: String,
    /// Nothing when it is secret.
    value: Option<String>,
    is_marked: bool,
}

#[derive(Template)]
#[template(path = "variables.html")]
struct Variables {
    frame: Frame,
    lines: Vec<VariableLine>,
    told: Option<(bool, String)>,
}

/// The connections.
pub(crate) async fn connections_page(State(web): State<Web>) -> PageResult {
    show_connections(&web, None).await
}

/// The connections, and what came of what was asked.
pub(super) async fn show_connections(web: &Web, told: Option<(bool, String)>) -> PageResult {
    let shown = |text: &Option<String>| text.as_deref().map(text::inert).unwrap_or_default();
    let lines = connections(web)
        .await?
        .into_iter()
        .map(|one| ConnectionLine {
            url: format!("/admin/connections/{}", text::segment(&one.id)),
            conn_type: text::inert(&one.conn_type),
            description: shown(&one.description),
            host: shown(&one.host),
            port: one.port.map(|port| port.to_string()).unwrap_or_default(),
            login: shown(&one.login),
            schema: shown(&one.schema),
            has_password: one.password.is_some(),
            has_extra: one.extra.is_some(),
            id: one.id,
        });
    show(&Connections {
        lines: lines.collect(),
        frame: Frame::new("Connections", None, web.doors.version),
        told: told.map(inert),
    })
}

/// What was told may hold the words of another machine.
fn inert((is_good, told): (bool, String)) -> (bool, String) {
    (is_good, text::inert(&told))
}

/// A field of the form; an empty one clears what was there.
fn field(form: &Fields, key: &str) -> Option<Option<String>> {
    let text = form.get(key)?.trim();
    Some((!text.is_empty()).then(|| text.to_string()))
}

/// A secret of the form; an empty field leaves what was there, a ticked box clears it.
fn secret(form: &Fields, key: &str) -> Option<Option<Secret>> {
    if form.contains_key(&format!("no_{key}")) {
        return Some(None);
    }
    let text = form.get(key).filter(|text| !text.is_empty())?;
    Some(Some(Secret::from(text.as_str())))
}

fn connection_change(form: &Fields) -> Result<ConnectionChange, Fault> {
    let port = match field(form, "port") {
        None => None,
        Some(None) => Some(None),
        Some(Some(text)) => {
            let wrong = |_| Fault::invalid("body", "port", "a port is a number from 0 to 65535");
            Some(Some(text.parse().map_err(wrong)?))
        }
    };
    Ok(ConnectionChange {
        conn_type: field(form, "conn_type").flatten(),
        description: field(form, "description"),
        host: field(form, "host"),
        port,
        login: field(form, "login"),
        password: secret(form, "password"),
        schema: field(form, "schema"),
        extra: secret(form, "extra"),
    })
}

/// Makes a connection.
pub(crate) async fn make_connection(
    State(web): State<Web>,
    Form(form): Form<Fields>,
) -> PageResult {
    let wish = OutsideWish::SetConnection {
        id: field(&form, "id").flatten().unwrap_or_default(),
        change: Box::new(connection_change(&form)?),
        is_new: Some(true),
    };
    ask(&web, Command::Outside(wish)).await?;
    Ok(go("/admin/connections"))
}

/// Changes a connection, tests it, or deletes it.
pub(crate) async fn set_connection(
    State(web): State<Web>,
    Path(id): Path<String>,
    Form(form): Form<Fields>,
) -> PageResult {
    let wish = match form.get("do").map(String::as_str) {
        Some("delete") => OutsideWish::DeleteConnection { id },
        Some("test") => {
            let change = Box::default();
            let asked = OutsideWish::Test {
                id: id.clone(),
                change,
            };
            let answer = ask(&web, Command::Outside(asked)).await?;
            let told = match answer {
                tidemill_store::Answer::Tested { is_reached, told } => {
                    Some((is_reached, format!("{id}: {told}")))
                }
                _ => None,
            };
            return show_connections(&web, told).await;
        }
        _ => OutsideWish::SetConnection {
            id,
            change: Box::new(connection_change(&form)?),
            is_new: Some(false),
        },
    };
    ask(&web, Command::Outside(wish)).await?;
    Ok(go("/admin/connections"))
}

/// The variables.
pub(crate) async fn variables_page(State(web): State<Web>) -> PageResult {
    show_variables(&web, None).await
}

/// The variables, and what came of what was asked.
pub(super) async fn show_variables(web: &Web, told: Option<(bool, String)>) -> PageResult {
    let lines = variables(web).await?.into_iter().map(|one| VariableLine {
        url: format!("/admin/variables/{}", text::segment(&one.key)),
        description: one
            .description
            .as_deref()
            .map(text::inert)
            .unwrap_or_default(),
        value: (!one.is_secret()).then(|| text::inert(one.value.expose())),
        is_marked: one.is_marked,
        key: one.key,
    });
    show(&Variables {
        lines: lines.collect(),
        frame: Frame::new("Variables", None, web.doors.version),
        told: told.map(inert),
    })
}

fn variable_change(form: &Fields) -> VariableChange {
    let value = form.get("value").filter(|value| !value.is_empty());
    VariableChange {
        value: value.map(|value| Secret::from(value.as_str())),
        description: field(form, "description"),
        is_marked: Some(form.contains_key("is_secret")),
    }
}

/// Makes a variable.
pub(crate) async fn make_variable(State(web): State<Web>, Form(form): Form<Fields>) -> PageResult {
    let wish = OutsideWish::SetVariable {
        key: field(&form, "key").flatten().unwrap_or_default(),
        change: variable_change(&form),
        is_new: Some(true),
    };
    ask(&web, Command::Outside(wish)).await?;
    Ok(go("/admin/variables"))
}

/// Changes a variable, or deletes it.
pub(crate) async fn set_variable(
    State(web): State<Web>,
    Path(key): Path<String>,
    Form(form): Form<Fields>,
) -> PageResult {
    let wish = match form.get("do").map(String::as_str) {
        Some("delete") => OutsideWish::DeleteVariable { key },
        _ => OutsideWish::SetVariable {
            key,
            change: variable_change(&form),
            is_new: Some(false),
        },
    };
    ask(&web, Command::Outside(wish)).await?;
    Ok(go("/admin/variables"))
}
