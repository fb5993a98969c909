//! What goes wrong, as a page and as the API's `{"detail": …}`.

use crate::session;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidemill_store::{Refusal, StoreError};

/// A request that cannot be served.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    /// The place in the body, for the API's validation errors.
    loc: Option<Vec<Value>>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Fault {
        Fault {
            status,
            detail: detail.into(),
            loc: None,
        }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Fault {
        Fault::new(StatusCode::NOT_FOUND, detail)
    }

    /// A name that is not there, with the names that are near.
    pub(crate) fn no_such<'a>(
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Fault {
        let near = near(name, known);
        let hint = if near.is_empty() {
            String::new()
        } else {
            format!("; did you mean {}?", near.join(", "))
        };
        Fault::not_found(format!("there is no {what} `{}`{hint}", cut(name, 100)))
    }

    /// A wrong value in the query or the body, by FastAPI's shape.
    pub(crate) fn invalid(place: &str, key: &str, detail: impl Into<String>) -> Fault {
        let loc = [place, key]
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| json!(part))
            .collect();
        Fault {
            loc: Some(loc),
            ..Fault::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }

    /// Something that is our fault: told by a short id that the server's log holds too.
    pub(crate) fn internal(err: &(dyn std::error::Error + 'static)) -> Fault {
        let id = session::short_random();
        let mut text = err.to_string();
        let mut source = err.source();
        while let Some(err) = source {
            text.push_str(": ");
            text.push_str(&err.to_string());
            source = err.source();
        }
        tracing::error!(id, error = text, "a request failed");
        let detail =
            format!("something went wrong here; the server's log has it under the id {id}");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

fn cut(text: &str, n_chars: usize) -> String {
    text.chars().take(n_chars).collect()
}

impl From<StoreError> for Fault {
    fn from(err: StoreError) -> Fault {
        if matches!(err, StoreError::TermLost) {
            let detail =
                "this server is not the scheduler: it starts, stands by or only serves pages";
            return Fault::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
        let unavailable = matches!(err, StoreError::Unavailable { .. });
        let mut fault = Fault::internal(&err);
        if unavailable {
            fault.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        fault
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        let status = match refusal {
            Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
            Refusal::Conflict { .. } => StatusCode::CONFLICT,
            Refusal::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        Fault::new(status, refusal.to_string())
    }
}

impl From<askama::Error> for Fault {
    fn from(err: askama::Error) -> Fault {
        Fault::internal(&err)
    }
}

/// A fault that is shown as a page.
pub(crate) struct PageError(pub(crate) Fault);

/// A fault that is told as JSON.
pub(crate) struct ApiError(pub(crate) Fault);

impl<E: Into<Fault>> From<E> for PageError {
    fn from(err: E) -> PageError {
        PageError(err.into())
    }
}

impl<E: Into<Fault>> From<E> for ApiError {
    fn from(err: E) -> ApiError {
        ApiError(err.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        crate::page::fault(&self.0)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let detail = match self.0.loc {
            Some(loc) => json!([{ "loc": loc, "msg": self.0.detail, "type": "value_error" }]),
            None => json!(self.0.detail),
        };
        (self.0.status, Json(json!({ "detail": detail }))).into_response()
    }
}

/// At most three known names that are near to a wrong one.
pub(crate) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name: Vec<char> = name.chars().take(64).collect();
    let limit = (name.len() / 3).max(1);
    let mut found: Vec<(usize, &str)> = known
        .take(20_000)
        .filter(|other| other.len().abs_diff(name.len()) <= limit * 4)
        .map(|other| {
            (
                distance(&name, &other.chars().take(64).collect::<Vec<_>>()),
                other,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort_unstable();
    found
        .into_iter()
        .take(3)
        .map(|(_, other)| other.to_string())
        .collect()
}

/// How many letters must be changed, put in or taken out.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let known = ["orders_etl", "hello", "help"];
        assert_eq!(near("helo", known.into_iter()), ["hello", "help"]);
        assert_eq!(near("order_etl", known.into_iter()), ["orders_etl"]);
        assert!(near("zzz", known.into_iter()).is_empty());
    }
}
