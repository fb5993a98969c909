//! Variables: list, one, make, change, delete; and what concerns all secrets at once. The value of
//! a secret variable is never told, but in the export over the socket.

use super::ApiResult;
use super::connections::matches;
use super::query::{Body, Pairs};
use crate::Web;
use crate::error::Fault;
use crate::page::ask;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use tidemill_connection::{HIDDEN, Secret, Variable, to_json};
use tidemill_store::{Answer, Command, OutsideWish, VariableChange};

const KEYS: [&str; 5] = ["key", "value", "description", "team_name", "is_secret"];

/// All variables of the database, by name; those that are secret without their value.
pub(crate) async fn all(web: &Web) -> Result<Vec<Variable>, Fault> {
    match ask(web, Command::Outside(OutsideWish::Variables)).await? {
        Answer::Variables(all) => Ok(all),
        _ => Ok(Vec::new()),
    }
}

fn body(one: &Variable) -> Value {
    let value = if one.is_secret() {
        HIDDEN
    } else {
        one.value.expose()
    };
    json!({
        "key": one.key,
        "value": value,
        "description": one.description,
        "is_encrypted": true,
        "team_name": null,
    })
}

/// `GET /variables`.
pub(crate) async fn list(State(web): State<Web>, query: Pairs) -> ApiResult {
    let (limit, offset) = query.paging()?;
    let pattern = query.get("variable_key_pattern");
    let mut found = all(&web).await?;
    found.retain(|one| matches(pattern, &one.key));
    if query.get("order_by").is_some_and(|by| by.starts_with('-')) {
        found.reverse();
    }
    let page = found.iter().skip(offset as usize).take(limit as usize);
    let bodies: Vec<Value> = page.map(body).collect();
    Ok(Json(json!({"variables": bodies, "total_entries": found.len()})).into_response())
}

/// `GET /variables/{key}`.
pub(crate) async fn one(State(web): State<Web>, Path(key): Path<String>) -> ApiResult {
    let found = all(&web).await?;
    let names: Vec<String> = found.iter().map(|one| one.key.clone()).collect();
    let one = found.into_iter().find(|one| one.key == key);
    let one =
        one.ok_or_else(|| Fault::no_such("variable", &key, names.iter().map(String::as_str)))?;
    Ok(Json(body(&one)).into_response())
}

/// What a body changes. The mark of a hidden value leaves the value as it is; what is no text is
/// kept as its JSON.
fn change(wish: &Body, mask: &[&str]) -> Result<VariableChange, Fault> {
    let is_named = |key: &str| wish.has(key) && (mask.is_empty() || mask.contains(&key));
    let value = wish
        .get("value")
        .filter(|_| is_named("value"))
        .map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
    Ok(VariableChange {
        value: value.filter(|value| value != HIDDEN).map(Secret::new),
        description: match is_named("description") {
            true => Some(wish.text("description")?),
            false => None,
        },
        is_marked: match wish.get("is_secret") {
            None => None,
            Some(_) => Some(wish.flag("is_secret", false)?),
        },
    })
}

async fn set(web: &Web, key: String, change: VariableChange, is_new: bool) -> Result<Value, Fault> {
    let wish = OutsideWish::SetVariable {
        key,
        change,
        is_new: Some(is_new),
    };
    match ask(web, Command::Outside(wish)).await? {
        Answer::Variables(set) => Ok(set.first().map_or(Value::Null, body)),
        _ => Ok(Value::Null),
    }
}

/// `POST /variables`.
pub(crate) async fn make(State(web): State<Web>, bytes: Bytes) -> ApiResult {
    let wish = Body::read(&bytes, &KEYS)?;
    wish.refuse(&["team_name"])?;
    let key = wish.text("key")?;
    let key = key.ok_or_else(|| Fault::invalid("body", "key", "this key is needed"))?;
    let made = set(&web, key, change(&wish, &[])?, true).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `PATCH /variables/{key}`: changes what the body names, or what of it `update_mask` names.
pub(crate) async fn patch(
    State(web): State<Web>,
    Path(key): Path<String>,
    query: Pairs,
    bytes: Bytes,
) -> ApiResult {
    let wish = Body::read(&bytes, &KEYS)?;
    wish.refuse(&["team_name"])?;
    if wish.text("key")?.is_some_and(|other| other != key) {
        let what = "a variable keeps its name: make another one and delete this";
        return Err(Fault::invalid("body", "key", what).into());
    }
    let mask: Vec<&str> = query.all("update_mask").collect();
    let set = set(&web, key, change(&wish, &mask)?, false).await?;
    Ok(Json(set).into_response())
}

/// `DELETE /variables/{key}`.
pub(crate) async fn delete(State(web): State<Web>, Path(key): Path<String>) -> ApiResult {
    ask(&web, Command::Outside(OutsideWish::DeleteVariable { key })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /secrets/export` on the socket: everything with its values, in Airflow's form. Whoever may
/// open the socket may read the home, and the key with it.
pub(crate) async fn export(State(web): State<Web>) -> ApiResult {
    let answer = ask(&web, Command::Outside(OutsideWish::Export)).await?;
    let Answer::Export(connections, variables) = answer else {
        return Ok(Json(Value::Null).into_response());
    };
    let connections: Map<String, Value> = connections
        .iter()
        .map(|one| (one.id.clone(), to_json(one)))
        .collect();
    let variables: Map<String, Value> = variables
        .iter()
        .map(|one| {
            let value = json!({
                "value": one.value.expose(),
                "description": one.description,
                "is_secret": one.is_marked,
            });
            (one.key.clone(), value)
        })
        .collect();
    Ok(Json(json!({"connections": connections, "variables": variables})).into_response())
}

/// `POST /secrets/rotate` on the socket: seals everything with a new key.
pub(crate) async fn rotate(State(web): State<Web>) -> ApiResult {
    let answer = ask(&web, Command::Outside(OutsideWish::Rotate)).await?;
    let (n_sealed, key) = match answer {
        Answer::Rotated { n_sealed, key } => (n_sealed, key),
        _ => (0, String::new()),
    };
    Ok(Json(json!({"sealed": n_sealed, "key_id": key})).into_response())
}
