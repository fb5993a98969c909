//! The keys of triggers that are no streams.

use super::{Key, Kind, key};

pub(crate) const SIGNATURES: &[&str] = &["standard", "github"];

/// `[triggers.NAME.webhook]`.
#[rustfmt::skip]
pub(crate) const WEBHOOK: &[Key] = &[
    key("path", Kind::Text, "", "The last part of its address, /hooks/DAG/PATH; the trigger's name when absent."),
    key("secret", Kind::Text, "", "Where the key of its signatures is: the name of a variable, or `conn.NAME.FIELD`."),
    key("signature", Kind::Choice(SIGNATURES), "\"standard\"", "How calls are signed: as standardwebhooks.com or as GitHub has it."),
    key("replay_window", Kind::Duration, "\"5m\"", "A call that was signed longer ago is refused. Not for `github`, which signs no time."),
    key("max_bytes", Kind::Size, "\"256KiB\"", "A larger body is refused; at most 1MiB."),
    key("run_if", Kind::Template, "", "No run where this template, which sees `trigger`, is false."),
];

/// `[triggers.NAME.file]`.
#[rustfmt::skip]
pub(crate) const FILE: &[Key] = &[
    key("path", Kind::Text, "", "An absolute path; its last part may hold `*` and `?`."),
    key("settle", Kind::Duration, "\"5s\"", "A file counts when it has not changed for so long."),
    key("poke_interval", Kind::Duration, "\"5s\"", "How often the folder is looked at."),
    key("run_if", Kind::Template, "", "No run where this template, which sees `trigger`, is false."),
];
