//! `http`.

use super::{Fault, OperatorKeys, Settings};
use crate::keys::{Key, Kind, key};

pub(crate) const HTTP: OperatorKeys = OperatorKeys {
    name: "http",
    short: Some("url"),
    keys: KEYS,
    results: &["response", "submitted"],
    only_looks: false,
    check,
};

pub(super) const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("url", Kind::Template, "", "The address."),
    key("connection", Kind::Text, "", "The connection that holds the host, and the user, password and headers (`headers` of its `extra`) for it; instead of `url`."),
    key("endpoint", Kind::Template, "", "The path at the connection's host."),
    key("method", Kind::Choice(METHODS), "\"GET\"", "The method."),
    key("headers", Kind::TemplateTable, "{}", "Headers by name."),
    key("query", Kind::TemplateTable, "{}", "What is added to the address after `?`, by name."),
    key("json", Kind::TemplateTree, "", "The body as JSON; every text in it may be a template."),
    key("form", Kind::TemplateTable, "", "The body as the fields of a form."),
    key("body", Kind::Template, "", "The body, as it is."),
    key("timeout", Kind::Duration, "\"20s\"", "How long one request may take, from the connection to the last byte of its answer."),
    key("total_timeout", Kind::Duration, "", "How long all requests of one attempt may take together."),
    key("follow_redirects", Kind::Bool, "false", "Follow redirects? Headers and body are not told to another server."),
    key("max_size", Kind::Size, "\"8MiB\"", "The most that one answer may hold, after decompression; 10GiB with `save_to`."),
    key("response_check", Kind::ResultTemplate, "", "Must be true of the answer, which is `response`; without it the status must be from 200 to 299."),
    key("response_filter", Kind::ResultTemplate, "", "What of the answer becomes the output; its text when absent. Of a page: its items."),
    key("save_to", Kind::Template, "", "The file that the answer goes to, which appears whole; with `pagination` one line of JSON for each item. A relative path is in the run's folder. The output is then its `path`, its `size` and the number of `items`."),
    key("pagination", Kind::Table(PAGINATION), "", "Ask for the next page until there is none."),
    key("wait", Kind::Table(WAIT), "", "Wait, without a slot, for work that the request has begun elsewhere."),
    key("idempotency_key", Kind::Template, "", "The header `Idempotency-Key` of requests that change something: the same for every try of a task instance, unless this names another; an empty text for none."),
    key("ca_file", Kind::FileOrPath, "", "A PEM file with the certificates that are trusted instead of the system's: one of the DAG's folder, pinned with the version, or of the worker's machine by its whole path."),
];

#[rustfmt::skip]
const PAGINATION: &[Key] = &[
    key("next", Kind::ResultTemplate, "", "The address of the next page, by the answer before it; null or an empty text after the last one."),
    key("max_pages", Kind::Int(1, 1_000_000), "100", "More pages are a failure."),
];

#[rustfmt::skip]
const WAIT: &[Key] = &[
    key("id", Kind::ResultTemplate, "\"{{ response.json.id }}\"", "The name of the work, by the first answer; kept before anything is waited for."),
    key("url", Kind::ResultTemplate, "", "Where it is asked after; the name is `submitted`."),
    key("until", Kind::ResultTemplate, "", "It is done when this is true."),
    key("fail_when", Kind::ResultTemplate, "", "It has failed when this is true."),
    key("interval", Kind::Duration, "\"10s\"", "The pause between two questions."),
    key("timeout", Kind::Duration, "\"1h\"", "How long it waits."),
];

/// A request has an address and at most one body.
pub(super) fn address_and_body(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    match (settings.has("url"), settings.has("connection")) {
        (false, false) => faults.push(Fault {
            key: None,
            message: "the request has no address".to_string(),
            help: "add `url`, or `connection` and `endpoint`",
        }),
        (true, true) => faults.push(Fault {
            key: Some("url"),
            message: "the request has `url` and `connection`".to_string(),
            help: "write the path as `endpoint`: so what the connection keeps goes to its own host only",
        }),
        (true, false) | (false, true) => {}
    }
    if settings.has("endpoint") && !settings.has("connection") {
        faults.push(Fault {
            key: Some("endpoint"),
            message: "`endpoint` is a path at a connection's host".to_string(),
            help: "add `connection`, or write the whole address as `url`",
        });
    }
    let bodies = ["json", "form", "body"];
    let mut written = bodies.into_iter().filter(|name| settings.has(name));
    if let (Some(first), Some(second)) = (written.next(), written.next()) {
        faults.push(Fault {
            key: Some(second),
            message: format!("the request has two bodies, `{first}` and `{second}`"),
            help: "a request has one body",
        });
    }
    faults
}

fn check(settings: &Settings) -> Vec<Fault> {
    let mut faults = address_and_body(settings);
    if let Some(pagination) = settings.get("pagination")
        && pagination.get("next").is_none()
    {
        faults.push(Fault {
            key: Some("pagination"),
            message: "`pagination` does not say how to find the next page".to_string(),
            help: "add `next`, for example next = \"{{ response.json.next }}\"",
        });
    }
    if let Some(wait) = settings.get("wait") {
        if wait.get("url").is_none() || wait.get("until").is_none() {
            faults.push(Fault {
                key: Some("wait"),
                message: "`wait` does not say where to ask, and until when".to_string(),
                help: "add `url` and `until`",
            });
        }
        let others = ["pagination", "save_to", "total_timeout"];
        if let Some(other) = others.into_iter().find(|name| settings.has(name)) {
            faults.push(Fault {
                key: Some(other),
                message: format!("`{other}` does not go with `wait`"),
                help: "make two tasks of it",
            });
        }
    }
    faults
}
