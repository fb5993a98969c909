//! What a text must look like: JSON Schema's `format`.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use regex::Regex;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Does a text have a format? A format without a rule, such as `multiline`, takes every text.
///
/// # Errors
/// What it should be, with an example.
pub(crate) fn check(format: &str, text: &str) -> Result<(), &'static str> {
    let (is_so, expected) = match format {
        "date" => (is_date(text), "a date such as 2026-11-20"),
        "date-time" => (is_instant(text), "an instant such as 2026-11-20T06:00:00Z"),
        "time" => (is_time(text), "a time of day such as 06:00:00"),
        "duration" => (is_duration(text), "an ISO 8601 duration such as PT15M"),
        "email" => (
            looks_like(r"^[^@\s]+@[^@\s]+$", text),
            "a mail address such as me@example.com",
        ),
        "hostname" => (is_host(text), "the name of a host such as db.example.com"),
        "ipv4" => (
            text.parse::<Ipv4Addr>().is_ok(),
            "an IPv4 address such as 192.0.2.1",
        ),
        "ipv6" => (
            text.parse::<Ipv6Addr>().is_ok(),
            "an IPv6 address such as 2001:db8::1",
        ),
        "uri" => (
            looks_like(r#"^[A-Za-z][A-Za-z0-9+.-]*:[^\s"<>\\^`{|}]*$"#, text),
            "an address such as https://example.com/",
        ),
        "uuid" => (
            looks_like("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", text),
            "a UUID such as 2eb8aa08-aa98-11ea-b4aa-73b441d16380",
        ),
        "regex" => (Regex::new(text).is_ok(), "a regular expression"),
        _ => (true, ""),
    };
    if is_so { Ok(()) } else { Err(expected) }
}

/// The patterns are this file's own and few texts are checked, so that none is kept compiled.
fn looks_like(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// The shapes come first, because the reader of dates knows more forms than the standard.
fn is_date(text: &str) -> bool {
    looks_like(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", text) && text.parse::<Date>().is_ok()
}

fn is_instant(text: &str) -> bool {
    let shape = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$";
    looks_like(shape, text) && text.parse::<Timestamp>().is_ok()
}

/// A time of day as forms give it, with seconds and an offset or without.
fn is_time(text: &str) -> bool {
    let shape = r"^([0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)([Zz]|[+-][0-9]{2}:[0-9]{2})?$";
    let time = Regex::new(shape).ok().and_then(|shape| {
        let found = shape.captures(text)?;
        found.get(1).map(|time| time.as_str())
    });
    time.is_some_and(|time| time.parse::<Time>().is_ok())
}

fn is_duration(text: &str) -> bool {
    let shape = r"^P([0-9]+W|([0-9]+Y)?([0-9]+M)?([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+S)?)?)$";
    looks_like(shape, text) && text != "P" && !text.ends_with('T')
}

fn is_host(text: &str) -> bool {
    let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
    text.len() <= 253 && looks_like(&format!(r"^{label}(\.{label})*$"), text)
}
