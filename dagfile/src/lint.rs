//! What is right by the letter and probably not meant.

use crate::diagnostic::Diagnostic;
use crate::parse::{Table, Value};
use crate::walk::common::Common;
use crate::walk::{Text, Walk};
use tidemill_model::schedule::{Interval, Schedule};
use toml::de::DeValue;

/// A file that uses both ends of the data interval expects time between them, but by default
/// they are one instant.
pub(crate) fn empty_interval(
    walk: &mut Walk,
    dag: &Table,
    schedule: &Schedule,
    commons: &[Common],
) {
    let Some(value) = dag.get("schedule") else {
        return;
    };
    let is_chosen =
        matches!(value.get_ref(), DeValue::Table(table) if table.contains_key("interval"));
    if is_chosen || !schedule.is_periodic() || schedule.interval != Interval::Tick {
        return;
    }
    let using = |end: &str| {
        let name = format!("data_interval_{end}");
        let variable = format!("TIDEMILL_{}", name.to_uppercase());
        let uses = move |text: &&Text| text.value.contains(&name) || text.value.contains(&variable);
        commons.iter().flat_map(texts).find(uses)
    };
    let (Some(start), Some(end)) = (using("start"), using("end")) else {
        return;
    };
    let message = "the data interval of a run is empty: its start and its end are the tick";
    let one = Diagnostic::warning("TM0311", end.span.clone(), message)
        .label("the same instant as the start")
        .help("say what a run is about, e.g. interval = \"previous\": from the tick before to this one");
    let one = if start.span == end.span {
        one
    } else {
        one.other(start.span.clone(), "the start")
    };
    walk.report(match with_interval(walk.source, value) {
        Some(written) => one.patch(value.span(), written),
        None => one,
    });
}

fn texts(common: &Common) -> impl Iterator<Item = &Text> {
    let shell = &common.shell;
    let named = common.env.iter().chain(&common.outputs);
    let conditions = common.run_if.iter().chain(&common.skip_if);
    let parts = shell.command.iter().chain(&shell.stdin);
    conditions
        .chain(named.map(|(_, text)| text))
        .chain(parts.chain(shell.args.iter().flatten()))
}

/// The short form of a schedule as the long form with an interval.
fn with_interval(source: &str, value: &Value) -> Option<String> {
    let written = source.get(value.span())?;
    let when = match value.get_ref() {
        DeValue::String(text) => match text.trim().strip_prefix("@every") {
            Some(distance) => format!("every = \"{}\"", distance.trim()),
            None => format!("cron = {written}"),
        },
        DeValue::Array(_) => format!("cron = {written}"),
        _ => return None,
    };
    Some(format!("{{ {when}, interval = \"previous\" }}"))
}
