//! Templates of triggers: those over one record, and those over a run's records.

use crate::diagnostic::Diagnostic;
use crate::place::offset_in_source;
use crate::suggest::unknown_param;
use crate::walk::event::EventKeys;
use crate::walk::stream::TriggerKeys;
use crate::walk::{Text, Walk};
use std::ops::Range;
use tidemill_model::dag::Param;
use tidemill_template::{Expression, References, check};

/// Checks the templates of every trigger.
pub(crate) fn check_templates(walk: &mut Walk, triggers: &[TriggerKeys], params: &[Param]) {
    for keys in triggers {
        check_names(walk, &keys.params, params);
        for text in &keys.of_record {
            if let Err(err) = Expression::over_record(&text.value) {
                report(walk, "TM0214", text, err);
            }
        }
        for text in &keys.of_run {
            check_over_trigger(walk, text);
        }
    }
}

/// Checks the templates of webhooks and files.
pub(crate) fn check_event_templates(walk: &mut Walk, triggers: &[EventKeys], params: &[Param]) {
    for keys in triggers {
        check_names(walk, &keys.params, params);
    }
    for text in triggers.iter().flat_map(|keys| &keys.texts) {
        check_over_trigger(walk, text);
    }
}

/// A trigger sets only parameters that the DAG has.
fn check_names(walk: &mut Walk, names: &[Text], params: &[Param]) {
    for name in names {
        if !params.iter().any(|param| param.name == name.value) {
            walk.report(unknown_param(&name.value, "", name.span.clone(), params));
        }
    }
}

/// A template that sees what has made the run, and nothing of the run.
fn check_over_trigger(walk: &mut Walk, text: &Text) {
    match check(&text.value) {
        Err(err) => report(walk, "TM0201", text, err),
        Ok(found) => {
            if let Some(range) = stray(&text.value, &found) {
                let message = "templates of a trigger see `trigger` and macros only";
                report(
                    walk,
                    "TM0202",
                    text,
                    tidemill_template::TemplateError {
                        message: message.to_string(),
                        range: Some(range),
                    },
                );
            }
        }
    }
}

/// What is known where a trigger is looked at: there is no run yet.
const KNOWN: &[&str] = &["trigger", "macros", "dag"];

/// The first place of a template that looks at anything else.
fn stray(text: &str, found: &References) -> Option<Range<usize>> {
    let task = found.tasks.first().map(|used| used.task.range.clone());
    let absent = found.absent.first().map(|absent| &absent.named);
    let named = found.unknown_names.first().or(absent);
    let other = || {
        let name = found
            .names
            .iter()
            .find(|name| !KNOWN.contains(&name.as_str()))?;
        let start = text.find(name.as_str()).unwrap_or(0);
        Some(start..start + name.len())
    };
    task.or(named.map(|name| name.range.clone())).or_else(other)
}

fn report(walk: &mut Walk, code: &'static str, text: &Text, err: tidemill_template::TemplateError) {
    let at = |by: usize| offset_in_source(walk.source, &text.span, by);
    let span = err.range.filter(|range| !range.is_empty());
    let span = span.map_or(text.span.clone(), |range| at(range.start)..at(range.end));
    walk.report(Diagnostic::error(code, span, err.message));
}
