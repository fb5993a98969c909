//! The walk over the tree: every key looked at once, every mistake reported with its place.

pub(crate) mod alert;
pub(crate) mod asset;
pub(crate) mod common;
pub(crate) mod dag;
pub(crate) mod event;
pub(crate) mod flow;
pub(crate) mod group;
pub(crate) mod map;
pub(crate) mod param;
mod resources;
pub(crate) mod retry;
pub(crate) mod schedule;
pub(crate) mod settings;
pub(crate) mod stream;
pub(crate) mod task;
pub(crate) mod unknown;
pub(crate) mod value;
pub(crate) mod wait;

use crate::diagnostic::{Diagnostic, Lines, Severity};
use crate::keys::{self, Key};
use crate::parse::Table;
use std::collections::HashSet;
use std::ops::Range;

/// More mistakes of one file are counted and not kept.
pub(crate) const DIAGNOSTICS_MAX: usize = 200;

/// A text of the file and its place, quotes included.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) span: Range<usize>,
}

/// A table by the name that people know it by.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Root,
    Dag,
    Schedule,
    Concurrency,
    DefaultArgs,
    Param(String),
    Group(String),
    Asset(String),
    Task(String),
    Shell(Box<Place>),
    /// The settings of another operator of a task.
    Operator(Box<Place>, &'static str),
    /// A table inside the settings of an operator, by its key.
    Inner(String),
    /// `[triggers.NAME]`.
    Trigger(String),
    /// `[triggers.NAME.kafka]`.
    Kafka(String),
    /// `start` of a stream.
    StreamStart,
    /// `dedupe` of a stream.
    Dedupe,
    /// A case of a branch.
    Case,
    /// A rule of a `retry_policy`.
    RetryRule,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Root => f.write_str("the file"),
            Place::Dag => f.write_str("[dag]"),
            Place::Schedule => f.write_str("[dag.schedule]"),
            Place::Concurrency => f.write_str("[dag.concurrency]"),
            Place::DefaultArgs => f.write_str("[default_args]"),
            Place::Param(name) => write!(f, "[params.{name}]"),
            Place::Group(name) => write!(f, "[groups.{name}]"),
            Place::Asset(name) => write!(f, "[assets.{name}]"),
            Place::Task(name) => write!(f, "[tasks.{name}]"),
            Place::Operator(parent, name) => match parent.as_ref() {
                Place::Task(task) => write!(f, "[tasks.{task}.{name}]"),
                Place::Group(group) => write!(f, "[groups.{group}.default_args.{name}]"),
                Place::DefaultArgs => write!(f, "[default_args.{name}]"),
                _ => write!(f, "[{name}]"),
            },
            Place::Inner(name) => write!(f, "`{name}`"),
            Place::Trigger(name) => write!(f, "[triggers.{name}]"),
            Place::Kafka(name) => write!(f, "[triggers.{name}.kafka]"),
            Place::StreamStart => f.write_str("`start`"),
            Place::Dedupe => f.write_str("`dedupe`"),
            Place::RetryRule => f.write_str("[[retry_policy]]"),
            Place::Case => f.write_str("a case of a branch"),
            Place::Shell(parent) => match parent.as_ref() {
                Place::Task(name) => write!(f, "[tasks.{name}.shell]"),
                Place::Group(name) => write!(f, "[groups.{name}.default_args.shell]"),
                _ => f.write_str("[default_args.shell]"),
            },
        }
    }
}

/// What the walk carries along.
pub(crate) struct Walk<'s> {
    pub(crate) source: &'s str,
    pub(crate) lines: Lines,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) n_dropped: usize,
    /// Assets that the schedule names.
    pub(crate) named_assets: Vec<Text>,
    /// The DAG's time zone.
    pub(crate) zone: jiff::tz::TimeZone,
    /// Files that keys name, in the order of the file.
    pub(crate) files: Vec<String>,
    seen_files: HashSet<String>,
}

impl<'s> Walk<'s> {
    pub(crate) fn new(source: &'s str, diagnostics: Vec<Diagnostic>) -> Walk<'s> {
        let n_found = diagnostics.len();
        let mut walk = Walk {
            source,
            lines: Lines::new(source),
            diagnostics,
            n_dropped: n_found.saturating_sub(DIAGNOSTICS_MAX),
            named_assets: Vec::new(),
            zone: jiff::tz::TimeZone::UTC,
            files: Vec::new(),
            seen_files: HashSet::new(),
        };
        walk.diagnostics.truncate(DIAGNOSTICS_MAX);
        walk
    }

    /// Keeps a diagnostic, up to the limit.
    pub(crate) fn report(&mut self, one: Diagnostic) {
        if self.is_full() {
            self.n_dropped += 1;
        } else {
            self.diagnostics.push(one);
        }
    }

    /// Is it pointless to compute suggestions?
    pub(crate) fn is_full(&self) -> bool {
        self.diagnostics.len() >= DIAGNOSTICS_MAX
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.n_dropped > 0
            || self
                .diagnostics
                .iter()
                .any(|one| one.severity == Severity::Error)
    }

    pub(crate) fn need_file(&mut self, path: &str) {
        if self.seen_files.insert(path.to_string()) {
            self.files.push(path.to_string());
        }
    }

    /// Looks at every key of a table: is it known, and does this version act on it?
    pub(crate) fn check_keys(&mut self, table: &Table, place: &Place, keys: &[Key]) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            match keys::find(keys, name) {
                None => self.unknown_key(key.span(), name, value, place, keys),
                Some(known) if !known.is_built => self.not_built(key.span(), &format!("`{name}`")),
                Some(_) => {}
            }
        }
    }

    pub(crate) fn not_built(&mut self, span: Range<usize>, what: &str) {
        self.report(
            Diagnostic::error(
                "TM0190",
                span,
                format!(
                    "{what} is part of the format, but this version of Tidemill does not run it yet"
                ),
            )
            .label("not built yet"),
        );
    }
}
