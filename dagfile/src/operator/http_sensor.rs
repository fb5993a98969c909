//! `http_sensor`.

use super::{Fault, OperatorKeys, Settings, http, sensor_keys};
use crate::keys::{Key, Kind, key};

pub(crate) const HTTP_SENSOR: OperatorKeys = OperatorKeys {
    name: "http_sensor",
    short: Some("url"),
    keys: KEYS,
    results: &["response"],
    only_looks: true,
    check,
};

#[rustfmt::skip]
const KEYS: &[Key] = sensor_keys![
    key("url", Kind::Template, "", "The address."),
    key("connection", Kind::Text, "", "The connection that holds the host, as `http` has it; instead of `url`."),
    key("endpoint", Kind::Template, "", "The path at the connection's host."),
    key("method", Kind::Choice(http::METHODS), "\"GET\"", "The method."),
    key("headers", Kind::TemplateTable, "{}", "Headers by name."),
    key("query", Kind::TemplateTable, "{}", "What is added to the address after `?`, by name."),
    key("json", Kind::TemplateTree, "", "The body as JSON; every text in it may be a template."),
    key("form", Kind::TemplateTable, "", "The body as the fields of a form."),
    key("body", Kind::Template, "", "The body, as it is."),
    key("request_timeout", Kind::Duration, "\"20s\"", "How long one request may take; `timeout` is for the whole wait."),
    key("total_timeout", Kind::Duration, "", "How long one look may take with all its redirects."),
    key("follow_redirects", Kind::Bool, "false", "Follow redirects? Headers and body are not told to another server."),
    key("max_size", Kind::Size, "\"8MiB\"", "The most that one answer may hold, after decompression."),
    key("response_check", Kind::ResultTemplate, "", "Must be true of the answer, which is `response`; without it the status must be from 200 to 299."),
    key("response_filter", Kind::ResultTemplate, "", "What of the answer becomes the output; its text when absent."),
    key("idempotency_key", Kind::Template, "", "The header `Idempotency-Key` of looks that are no GET; none when absent, since a server that knows a key repeats its first answer."),
    key("ca_file", Kind::FileOrPath, "", "A PEM file with the certificates that are trusted instead of the system's: one of the DAG's folder, pinned with the version, or of the worker's machine by its whole path."),
];

fn check(settings: &Settings) -> Vec<Fault> {
    http::address_and_body(settings)
}
