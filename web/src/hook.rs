//! `POST /hooks/DAG/PATH`: webhooks. The one address that changes something without a session: a
//! call proves itself by its signature.

use crate::Web;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;

/// A call of a webhook, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookCall {
    /// The DAG, by the address.
    pub dag_id: String,
    /// The last part of the address.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What stands behind the question mark, decoded.
    pub query: Vec<(String, String)>,
    /// The body, in JSON as base64.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub body: Vec<u8>,
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64.decode(text).map_err(serde::de::Error::custom)
}

/// Why a call has made no run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NotTaken {
    /// No DAG listens at this address.
    #[error("no webhook is here")]
    Unknown,
    /// The body is larger than the file allows.
    #[error("the body is over {max} bytes")]
    TooLarge {
        /// The most that is allowed.
        max: u64,
    },
    /// It does not prove that it comes from somebody who has the key, or it is too old.
    #[error("{why}")]
    Unsigned {
        /// What is wrong.
        why: String,
    },
    /// It is signed and means nothing here.
    #[error("{what}")]
    Odd {
        /// What is wrong.
        what: String,
    },
    /// It may be taken when it comes again.
    #[error("{why}")]
    Later {
        /// Why not now.
        why: String,
    },
}

/// Takes calls, and gives the name of the run that one has made, or that the same call has made
/// before; `None` where the file wants none.
pub type HookDoor = Arc<
    dyn Fn(
            HookCall,
        )
            -> std::pin::Pin<Box<dyn Future<Output = Result<Option<String>, NotTaken>> + Send>>
        + Send
        + Sync,
>;

/// Seconds after which a sender may come again.
const LATER: &str = "30";

pub(crate) async fn call(
    State(web): State<Web>,
    Path((dag_id, path)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(door) = &web.doors.hooks else {
        return refused(&NotTaken::Unknown);
    };
    let headers = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    });
    let call = HookCall {
        dag_id: dag_id.clone(),
        path,
        headers: headers.collect(),
        query,
        body: body.to_vec(),
    };
    match door(call).await {
        Ok(run) => Json(json!({ "dag_id": dag_id, "dag_run_id": run })).into_response(),
        Err(why) => refused(&why),
    }
}

fn refused(why: &NotTaken) -> Response {
    let status = match why {
        NotTaken::Unknown => StatusCode::NOT_FOUND,
        NotTaken::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        NotTaken::Unsigned { .. } => StatusCode::UNAUTHORIZED,
        NotTaken::Odd { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        NotTaken::Later { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = Json(json!({ "detail": Value::from(why.to_string()) }));
    let mut response = (status, body).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let value = axum::http::HeaderValue::from_static(LATER);
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}
