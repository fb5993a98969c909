//! From settings to a request.

use super::config::Config;
use crate::operator::{Failure, Job};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tidemill_connection::{Connection, Secret};

/// The header that lets a server know a repetition.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Values of headers with these words in their names are secrets.
const SECRET_WORDS: [&str; 7] = [
    "auth",
    "token",
    "key",
    "secret",
    "cookie",
    "password",
    "credential",
];

/// A request as it is sent first; a redirect may change it.
#[derive(Clone)]
pub(super) struct Ask {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// A user and a password.
    pub auth: Option<(String, Secret)>,
    pub body: Option<String>,
}

impl Ask {
    /// Renders the settings.
    pub(super) fn new(job: &Job, config: &Config) -> Result<Ask, Failure> {
        let method = Method::from_bytes(config.method.as_bytes())
            .map_err(|_| wrong(format!("`{}` is not a method", config.method)))?;
        let mut url = address(job, config)?;
        let query = rendered(job, "query", &config.query)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        let mut headers = HeaderMap::new();
        let auth = of_connection(job, config, &mut headers)?;
        let body = body(job, config, &mut headers)?;
        for (name, value) in rendered(job, "headers", &config.headers)? {
            let (name, value) = header(job, &name, &value)?;
            headers.insert(name, value);
        }
        if !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS)
            && !headers.contains_key(IDEMPOTENCY_KEY)
        {
            add_idempotency_key(job, config, &mut headers)?;
        }
        Ok(Ask {
            method,
            url,
            headers,
            auth,
            body,
        })
    }

    /// The request after a redirect (RFC 9110, 15.4). What was meant for one server is not told
    /// to another.
    pub(super) fn redirected(mut self, status: u16, location: Url) -> Ask {
        let becomes_get =
            status == 303 || (matches!(status, 301 | 302) && self.method == Method::POST);
        if becomes_get && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = None;
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(IDEMPOTENCY_KEY);
        }
        if self.url.origin() != location.origin() {
            self.headers.clear();
            self.auth = None;
            self.body = None;
        }
        self.url = location;
        self
    }
}

/// A request that cannot be made: the same settings give the same mistake.
fn wrong(message: impl Into<String>) -> Failure {
    Failure::could_not_start(message).for_good()
}

fn rendered(
    job: &Job,
    key: &str,
    texts: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Failure> {
    let one = |(name, text): (&String, &String)| {
        Ok((name.clone(), job.text(&format!("{key}.{name}"), text)?))
    };
    texts.iter().map(one).collect()
}

/// `url`, or `endpoint` at the connection's host.
fn address(job: &Job, config: &Config) -> Result<Url, Failure> {
    if let Some(url) = &config.url {
        return read_url(&job.text("url", url)?);
    }
    let id = config.connection.as_ref();
    let id = id.ok_or_else(|| wrong("the http task has no address"))?;
    let connection = job.connection(id)?;
    let base = base_of(connection)?;
    let endpoint = config.endpoint.as_deref().unwrap_or_default();
    let endpoint = job.text("endpoint", endpoint)?;
    let joined = base.join(&endpoint);
    let url = joined.map_err(|err| wrong(format!("endpoint: `{endpoint}`: {err}")))?;
    if url.origin() != base.origin() {
        return Err(wrong("`endpoint` leads away from the connection's host"));
    }
    read_url(url.as_str())
}

/// Where the paths of a connection begin.
pub(super) fn base_of(connection: &Connection) -> Result<Url, Failure> {
    let host = connection.host.as_deref().unwrap_or_default();
    if host.is_empty() {
        return Err(wrong(format!("connection `{}` has no host", connection.id)));
    }
    // Airflow keeps the scheme in the host, in `schema` or in the type.
    let scheme = match connection.schema.as_deref() {
        Some(scheme @ ("http" | "https")) => scheme,
        _ if connection.conn_type == "https" => "https",
        _ => "http",
    };
    let base = match host.contains("://") {
        true => host.to_string(),
        false => format!("{scheme}://{host}"),
    };
    let mut base = read_url(&base)?;
    if let Some(port) = connection.port {
        let _ = base.set_port(Some(port)); // an http address has one
    }
    Ok(base)
}

/// The user and the headers that a connection keeps for its host.
fn of_connection(
    job: &Job,
    config: &Config,
    headers: &mut HeaderMap,
) -> Result<Option<(String, Secret)>, Failure> {
    let Some(id) = &config.connection else {
        return Ok(None);
    };
    let connection = job.connection(id)?;
    for (name, value) in headers_of(connection) {
        job.hide([value.clone()]);
        let (name, value) = header(job, &name, &value)?;
        headers.insert(name, value);
    }
    let password = connection.password.clone().unwrap_or_default();
    Ok(connection.login.clone().map(|login| (login, password)))
}

/// The headers that a connection keeps for its host, as names and values.
pub(super) fn headers_of(connection: &Connection) -> Vec<(String, String)> {
    let Some(Value::Object(kept)) = connection.extra_value("headers") else {
        return Vec::new();
    };
    let text = |value: Value| value.as_str().unwrap_or_default().to_string();
    let pairs = kept.into_iter().map(|(name, value)| (name, text(value)));
    pairs.collect()
}

/// An address that a request can go to.
pub(super) fn read_url(text: &str) -> Result<Url, Failure> {
    let url =
        Url::parse(text).map_err(|err| wrong(format!("`{text}` is not an address: {err}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!(
            "an address begins with http:// or https://, not {}:",
            url.scheme()
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "an address holds no user and no password: put them into a connection",
        ));
    }
    Ok(url)
}

fn header(job: &Job, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let lower = name.to_ascii_lowercase();
    let is_secret = SECRET_WORDS.iter().any(|word| lower.contains(word));
    if is_secret && lower != IDEMPOTENCY_KEY {
        // `Bearer TOKEN`: the token by itself is as secret.
        let token = value.rsplit(' ').next().unwrap_or(value);
        job.hide([value.to_string(), token.to_string()]);
    }
    let mut read = HeaderValue::from_str(value).map_err(|_| {
        wrong(format!(
            "headers.{name} holds a line break or a sign that no header may hold"
        ))
    })?;
    read.set_sensitive(is_secret);
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| wrong(format!("`{name}` cannot be the name of a header")))?;
    Ok((name, read))
}

fn body(job: &Job, config: &Config, headers: &mut HeaderMap) -> Result<Option<String>, Failure> {
    let mut is_of = |kind: &'static str| {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    };
    if let Some(json) = &config.json {
        is_of("application/json");
        return Ok(Some(job.value("json", json)?.to_string()));
    }
    if let Some(form) = &config.form {
        is_of("application/x-www-form-urlencoded");
        let mut text = url_form();
        text.extend_pairs(rendered(job, "form", form)?);
        return Ok(Some(text.finish()));
    }
    config
        .body
        .as_ref()
        .map(|text| job.text("body", text))
        .transpose()
}

fn url_form() -> form_urlencoded::Serializer<'static, String> {
    form_urlencoded::Serializer::new(String::new())
}

/// The same for every try of a task instance, and for no other.
fn add_idempotency_key(job: &Job, config: &Config, headers: &mut HeaderMap) -> Result<(), Failure> {
    let key = match &config.idempotency_key {
        Some(text) => job.text("idempotency_key", text)?,
        None => {
            let facts = job.facts();
            let parts = [
                &facts.dag_id,
                &facts.run_id,
                &facts.task_id,
                &facts.map_index.to_string(),
            ];
            let mut hasher = Sha256::new();
            for part in parts {
                hasher.update(part.as_bytes());
                hasher.update([0]);
            }
            let digest = hasher.finalize();
            digest
                .iter()
                .take(16)
                .map(|byte| format!("{byte:02x}"))
                .collect()
        }
    };
    if !key.is_empty() {
        let (name, value) = header(job, IDEMPOTENCY_KEY, &key)?;
        headers.insert(name, value);
    }
    Ok(())
}
