//! An answer: its body read within its limits, into memory or into a file.

use crate::operator::{Failure, NewFile, Results};
use reqwest::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;
use tidemill_model::attempt::Again;

/// What becomes of a body.
pub(super) enum Place<'f> {
    /// It stays in memory, for templates.
    Memory,
    /// It goes to a file.
    File(&'f mut NewFile),
}

/// Reads an answer's body and gives `response` as templates see it.
pub(super) async fn read(
    mut answer: Response,
    mut place: Place<'_>,
    size_max: u64,
    begun: Instant,
) -> Result<Results, Failure> {
    let url = answer.url().to_string();
    let status = answer.status().as_u16();
    let headers: Map<String, Value> = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), Value::String(text))
        })
        .collect();
    let mut body = Vec::new();
    let mut size = 0u64;
    loop {
        let part = answer.chunk().await;
        let part = part.map_err(|err| broken(&url, &err))?;
        let Some(part) = part else { break };
        size += part.len() as u64;
        if size > size_max {
            let message = format!("{url}: the answer is over max_size, {size_max} bytes");
            return Err(Failure::bad_output(message).for_good());
        }
        match &mut place {
            Place::Memory => body.extend_from_slice(&part),
            Place::File(file) => file.write(&part).await?,
        }
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let response = json!({
        "status": status, "headers": headers, "text": text, "json": json, "url": url,
        "elapsed": begun.elapsed().as_secs_f64(), "size": size,
    });
    let named = ("response".to_string(), response);
    Ok(Arc::new(Map::from_iter([named])))
}

/// A connection or an answer that broke off: another try may help.
pub(super) fn broken(url: &str, err: &reqwest::Error) -> Failure {
    let is_refused = {
        let mut cause: Option<&dyn std::error::Error> = Some(err);
        std::iter::from_fn(|| {
            let one = cause?;
            cause = one.source();
            Some(one.is::<super::guard::Refused>())
        })
        .any(|is_refused| is_refused)
    };
    let what = if err.is_timeout() {
        "no whole answer within `timeout`".to_string()
    } else {
        chain(err)
    };
    let failure = Failure::refused(format!("{url}: {what}"));
    if is_refused {
        failure.for_good()
    } else {
        failure
    }
}

/// What a status says about asking again (RFC 9110): whoever is busy may be asked later, whoever
/// has refused will refuse again.
pub(super) fn again(status: u16, headers: &Value) -> Option<Again> {
    let later = matches!(status, 408 | 421 | 425 | 429 | 500..=599);
    if !later {
        return Some(Again::Never);
    }
    let text = headers.get("retry-after")?.as_str()?.trim();
    let seconds = match text.parse::<u32>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            let wait = at.duration_since(std::time::SystemTime::now());
            u32::try_from(wait.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
        }
    };
    Some(Again::AfterSeconds(seconds))
}

/// An error and its causes on one line. The client's own text holds no header and no address.
pub(super) fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let next = err.to_string();
        if !text.ends_with(&next) {
            text.push_str(&format!(": {next}"));
        }
        cause = err.source();
    }
    text
}
