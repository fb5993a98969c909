//! One request.

use super::config::Config;
use crate::operator::{Done, End, Failure, Job, Results};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response};
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// An answer that is kept in memory is not larger.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// Sends the request and judges its answer.
pub(crate) async fn run(job: Job) -> Result<Done, End> {
    let config: Config = job.settings()?;
    let url = job.text("url", &config.url)?;
    let method = Method::from_bytes(config.method.as_bytes())
        .map_err(|_| Failure::could_not_start(format!("`{}` is not a method", config.method)))?;
    let mut request = client()?
        .request(method.clone(), &url)
        .headers(headers(&job, &config)?)
        .timeout(Duration::from_millis(config.timeout));
    if let Some(body) = &config.body {
        request = request.body(job.text("body", body)?);
    }
    let begun = Instant::now();
    let answer = request.send().await;
    let answer =
        answer.map_err(|err| Failure::refused(format!("{method} {url}: {}", chain(&err))))?;
    job.note(&format!("{method} {url}: {}", answer.status()));
    let status = answer.status().as_u16();
    let results = results(answer, begun).await?;
    judge(&job, &config, status, &results)?;
    let output = match &config.response_filter {
        Some(filter) => job.look("response_filter", filter, &results)?,
        None => results["response"]["text"].clone(),
    };
    Ok(Done {
        output: Some(output),
        results: Map::clone(&results),
        ..Done::default()
    })
}

/// One for all requests, so that connections are used again.
fn client() -> Result<&'static Client, Failure> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        // Another part of the program may have chosen the same provider before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|err| format!("cannot make an HTTP client: {}", chain(&err)))
    });
    made.as_ref()
        .map_err(|message| Failure::could_not_start(message.clone()))
}

fn headers(job: &Job, config: &Config) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let wrong = |what: &str| Failure::could_not_start(format!("headers.{name}: {what}"));
        let value = job.text(&format!("headers.{name}"), value)?;
        let value = HeaderValue::from_str(&value)
            .map_err(|_| wrong("a line break or a sign that no header holds"))?;
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("no name of a header"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

async fn results(mut answer: Response, begun: Instant) -> Result<Results, Failure> {
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
    loop {
        let part = answer.chunk().await;
        let part = part.map_err(|err| Failure::refused(format!("{url}: {}", chain(&err))))?;
        let Some(part) = part else { break };
        if body.len() + part.len() > BODY_MAX {
            let message = format!("{url}: the answer is over {BODY_MAX} bytes");
            return Err(Failure::bad_output(message).for_good());
        }
        body.extend_from_slice(&part);
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let response = json!({
        "status": status, "headers": headers, "text": text, "json": json, "url": url,
        "elapsed": begun.elapsed().as_secs_f64(),
    });
    Ok(Arc::new(Map::from_iter([(
        "response".to_string(),
        response,
    )])))
}

fn judge(job: &Job, config: &Config, status: u16, results: &Results) -> Result<(), Failure> {
    let is_good = match &config.response_check {
        Some(check) => job.holds("response_check", check, results)?,
        None => (200..300).contains(&status),
    };
    if is_good {
        return Ok(());
    }
    let what = match &config.response_check {
        Some(_) => "response_check is false for the answer",
        None => "the answer is",
    };
    Err(Failure {
        http_status: Some(status),
        ..Failure::refused(format!("{what} {status}"))
    })
}

/// An error and its causes on one line. The client's own text holds no header.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(&format!(": {err}"));
        cause = err.source();
    }
    text
}
