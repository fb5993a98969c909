//! Connections: list, one, make, change, delete, test. Passwords and extras are never told.

use super::ApiResult;
use super::query::{Body, Pairs};
use crate::Web;
use crate::error::Fault;
use crate::page::ask;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tidemill_connection::{HIDDEN, Secret};
use tidemill_store::{Answer, Command, ConnectionChange, ConnectionRecord, OutsideWish};

const KEYS: [&str; 10] = [
    "connection_id",
    "conn_type",
    "description",
    "host",
    "port",
    "login",
    "password",
    "schema",
    "extra",
    "team_name",
];

/// All connections of the database, by name.
pub(crate) async fn all(web: &Web) -> Result<Vec<ConnectionRecord>, Fault> {
    match ask(web, Command::Outside(OutsideWish::Connections)).await? {
        Answer::Connections(all) => Ok(all),
        _ => Ok(Vec::new()),
    }
}

fn body(one: &ConnectionRecord) -> Value {
    let hidden = |sealed: &Option<Vec<u8>>| sealed.as_ref().map(|_| HIDDEN);
    json!({
        "connection_id": one.id,
        "conn_type": one.conn_type,
        "description": one.description,
        "host": one.host,
        "login": one.login,
        "schema": one.schema,
        "port": one.port,
        "password": hidden(&one.password),
        "extra": hidden(&one.extra),
        "team_name": null,
    })
}

/// A name with `%` at its ends for anything, as in Airflow; without, a part of the name.
pub(super) fn matches(pattern: Option<&str>, name: &str) -> bool {
    let wanted = pattern.map(|pattern| pattern.trim_matches('%'));
    wanted.is_none_or(|wanted| name.contains(wanted))
}

/// `GET /connections`.
pub(crate) async fn list(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let pattern = query.get("connection_id_pattern");
    let mut found = all(&web).await?;
    found.retain(|one| matches(pattern, &one.id));
    if query.get("order_by").is_some_and(|by| by.starts_with('-')) {
        found.reverse();
    }
    let page = found.iter().skip(offset as usize).take(limit as usize);
    let bodies: Vec<Value> = page.map(body).collect();
    Ok(Json(json!({"connections": bodies, "total_entries": found.len()})).into_response())
}

/// `GET /connections/{id}`.
pub(crate) async fn one(State(web): State<Web>, Path(id): Path<String>) -> ApiResult {
    let found = all(&web).await?;
    let names: Vec<String> = found.iter().map(|one| one.id.clone()).collect();
    let one = found.into_iter().find(|one| one.id == id);
    let one =
        one.ok_or_else(|| Fault::no_such("connection", &id, names.iter().map(String::as_str)))?;
    Ok(Json(body(&one)).into_response())
}

/// What a body changes. The mark of a hidden value leaves the value as it is.
fn change(wish: &Body, mask: &[&str]) -> Result<ConnectionChange, Fault> {
    let is_named = |key: &str| wish.has(key) && (mask.is_empty() || mask.contains(&key));
    let text = |key: &str| match is_named(key) {
        true => wish
            .text(key)
            .map(|text| Some(text.filter(|text| !text.is_empty()))),
        false => Ok(None),
    };
    let secret = |key: &str| -> Result<Option<Option<Secret>>, Fault> {
        let found = text(key)?;
        let found = found.filter(|found| found.as_deref() != Some(HIDDEN));
        Ok(found.map(|found| found.map(Secret::new)))
    };
    let port = match (is_named("port"), wish.get("port")) {
        (false, _) => None,
        (true, None) => Some(None),
        (true, Some(port)) => {
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            let wrong = || Fault::invalid("body", "port", "a number from 0 to 65535");
            Some(Some(port.ok_or_else(wrong)?))
        }
    };
    Ok(ConnectionChange {
        conn_type: text("conn_type")?.flatten(),
        description: text("description")?,
        host: text("host")?,
        port,
        login: text("login")?,
        password: secret("password")?,
        schema: text("schema")?,
        extra: secret("extra")?,
    })
}

fn read(bytes: &[u8]) -> Result<Body, Fault> {
    let wish = Body::read(bytes, &KEYS)?;
    wish.refuse(&["team_name"])?;
    Ok(wish)
}

async fn set(
    web: &Web,
    id: String,
    change: ConnectionChange,
    is_new: bool,
) -> Result<Value, Fault> {
    let wish = OutsideWish::SetConnection {
        id,
        change: Box::new(change),
        is_new: Some(is_new),
    };
    match ask(web, Command::Outside(wish)).await? {
        Answer::Connections(set) => Ok(set.first().map_or(Value::Null, body)),
        _ => Ok(Value::Null),
    }
}

fn id_of(wish: &Body) -> Result<String, Fault> {
    let id = wish.text("connection_id")?;
    id.ok_or_else(|| Fault::invalid("body", "connection_id", "this key is needed"))
}

/// `POST /connections`.
pub(crate) async fn make(State(web): State<Web>, bytes: Bytes) -> ApiResult {
    let wish = read(&bytes)?;
    let made = set(&web, id_of(&wish)?, change(&wish, &[])?, true).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `PATCH /connections/{id}`: changes what the body names, or what of it `update_mask` names.
pub(crate) async fn patch(
    State(web): State<Web>,
    Path(id): Path<String>,
    query: Pairs,
    bytes: Bytes,
) -> ApiResult {
    let wish = read(&bytes)?;
    if wish.text("connection_id")?.is_some_and(|other| other != id) {
        let what = "a connection keeps its name: make another one and delete this";
        return Err(Fault::invalid("body", "connection_id", what).into());
    }
    let mask: Vec<&str> = query.all("update_mask").collect();
    let set = set(&web, id, change(&wish, &mask)?, false).await?;
    Ok(Json(set).into_response())
}

/// `DELETE /connections/{id}`.
pub(crate) async fn delete(State(web): State<Web>, Path(id): Path<String>) -> ApiResult {
    ask(&web, Command::Outside(OutsideWish::DeleteConnection { id })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /connections/test`: reaches for the other end of what the body says.
pub(crate) async fn test(State(web): State<Web>, bytes: Bytes) -> ApiResult {
    let wish = read(&bytes)?;
    let (id, change) = (id_of(&wish)?, Box::new(change(&wish, &[])?));
    let answer = ask(&web, Command::Outside(OutsideWish::Test { id, change })).await?;
    let (is_reached, told) = match answer {
        Answer::Tested { is_reached, told } => (is_reached, told),
        _ => (false, String::new()),
    };
    Ok(Json(json!({"status": is_reached, "message": told})).into_response())
}
