//! `http`.

use super::{Fault, OperatorKeys, Settings};
use crate::keys::{Key, Kind, key};

pub(crate) const HTTP: OperatorKeys = OperatorKeys {
    name: "http",
    short: Some("url"),
    keys: KEYS,
    results: &["response"],
    check,
};

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("url", Kind::Template, "", "The address."),
    key("method", Kind::Choice(METHODS), "\"GET\"", "The method."),
    key("headers", Kind::TemplateTable, "{}", "Headers by name."),
    key("body", Kind::Template, "", "The body, as it is."),
    key("timeout", Kind::Duration, "\"20s\"", "How long one request may take, from the connection to the last byte of its answer."),
    key("response_check", Kind::ResultTemplate, "", "Must be true of the answer, which is `response`; without it the status must be from 200 to 299."),
    key("response_filter", Kind::ResultTemplate, "", "What of the answer becomes the output; its text when absent."),
];

fn check(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !settings.has("url") {
        faults.push(Fault {
            key: None,
            message: "the http task has no address".to_string(),
            help: "add `url`",
        });
    }
    faults
}
