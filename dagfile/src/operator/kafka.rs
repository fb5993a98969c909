//! `kafka_produce`, `kafka_consume` and `kafka_wait`.

use super::{Fault, OperatorKeys, Settings};
use crate::keys::{FORMATS, ISOLATIONS, Key, Kind, key};
use serde_json::Value;

pub(crate) const PRODUCE: OperatorKeys = OperatorKeys {
    name: "kafka_produce",
    short: None,
    keys: PRODUCE_KEYS,
    results: &[],
    only_looks: false,
    check: check_produce,
};

pub(crate) const CONSUME: OperatorKeys = OperatorKeys {
    name: "kafka_consume",
    short: None,
    keys: CONSUME_KEYS,
    results: &[],
    only_looks: true,
    check: check_consume,
};

pub(crate) const WAIT: OperatorKeys = OperatorKeys {
    name: "kafka_wait",
    short: None,
    keys: WAIT_KEYS,
    results: &["record"],
    only_looks: true,
    check: check_wait,
};

#[rustfmt::skip]
const PRODUCE_KEYS: &[Key] = &[
    key("connection", Kind::Text, "", "The connection that says where the brokers are and how one is let in."),
    key("brokers", Kind::Texts, "", "The brokers as HOST:PORT, without encryption; instead of `connection`."),
    key("topic", Kind::Template, "", "The topic. It is not made."),
    key("key", Kind::Template, "", "The key; records with the same key go to the same partition, as Java's clients send them."),
    key("value", Kind::TemplateTree, "", "The value: a text as it is, anything else as JSON, null as a tombstone."),
    key("file", Kind::Template, "", "A file with a record on each line, instead of `value`. A relative path is in the run's folder."),
    key("headers", Kind::TemplateTable, "{}", "Headers by name. `ce_id` is added, the same at each try."),
    key("partition", Kind::Int(0, i32::MAX as i64), "", "The partition; by the key when absent."),
    key("transaction", Kind::Bool, "false", "All records in one transaction, so that those of a failed try are never read?"),
    key("timeout", Kind::Duration, "\"1m\"", "How long a record may take to be confirmed."),
];

#[rustfmt::skip]
const CONSUME_KEYS: &[Key] = &[
    key("connection", Kind::Text, "", "The connection that says where the brokers are and how one is let in."),
    key("brokers", Kind::Texts, "", "The brokers as HOST:PORT, without encryption; instead of `connection`."),
    key("topics", Kind::Texts, "", "The topics."),
    key("key_format", Kind::Choice(FORMATS), "\"string\"", "How keys are read."),
    key("value_format", Kind::Choice(FORMATS), "\"json\"", "How values are read."),
    key("isolation", Kind::Choice(ISOLATIONS), "\"read_committed\"", "Are records of open and undone transactions read?"),
    key("from", Kind::TemplateTree, "\"last\"", "Where it begins: `last` is where this task's successes have ended, `earliest`, an instant, or { offsets = { 0 = 17 } }. Fixed by the first try."),
    key("to", Kind::TemplateTree, "\"end_at_start\"", "Where it ends: `end_at_start` is what is there now, an instant, or { offsets = { 0 = 99 } }. Fixed by the first try."),
    key("max_messages", Kind::Int(1, 100_000_000), "1000000", "So many offsets at most; what is left is for the next run."),
    key("save_to", Kind::Template, "", "The file that the records go to, a JSON object a line, which appears whole. A relative path is in the run's folder. Without it the records are the output."),
];

#[rustfmt::skip]
const WAIT_KEYS: &[Key] = &[
    key("connection", Kind::Text, "", "The connection that says where the brokers are and how one is let in."),
    key("brokers", Kind::Texts, "", "The brokers as HOST:PORT, without encryption; instead of `connection`."),
    key("topics", Kind::Texts, "", "The topics."),
    key("key_format", Kind::Choice(FORMATS), "\"string\"", "How keys are read."),
    key("value_format", Kind::Choice(FORMATS), "\"json\"", "How values are read."),
    key("isolation", Kind::Choice(ISOLATIONS), "\"read_committed\"", "Are records of open and undone transactions read?"),
    key("since", Kind::TemplateTree, "\"run_start\"", "Where waiting begins: `run_start`, `task_start`, `earliest`, an instant, or { offsets = { 0 = 17 } }. Fixed by the first try."),
    key("filter", Kind::ResultTemplate, "", "One {{ }} that must be true of the record, which is `record`; any record when absent."),
    key("timeout", Kind::Duration, "\"7d\"", "How long it waits."),
    key("soft_fail", Kind::Bool, "false", "Skipped, and not failed, when the time is up?"),
];

fn fault(key: Option<&'static str>, message: impl Into<String>, help: &'static str) -> Fault {
    Fault {
        key,
        message: message.into(),
        help,
    }
}

fn check_cluster(settings: &Settings) -> Vec<Fault> {
    let brokers = settings.get("brokers").and_then(Value::as_array);
    let mut faults = Vec::new();
    if settings.has("connection") == brokers.is_some_and(|brokers| !brokers.is_empty()) {
        let message = "a task of Kafka has either `connection` or `brokers`";
        faults.push(fault(None, message, "add one, or take one of them out"));
    }
    let brokers = brokers.into_iter().flatten().filter_map(Value::as_str);
    for odd in brokers.filter(|text| !crate::walk::stream::is_broker(text)) {
        let message = format!("`{odd}` is not a broker");
        faults.push(fault(
            Some("brokers"),
            message,
            "write it like \"kafka1.example:9092\"",
        ));
    }
    faults
}

fn check_topics(settings: &Settings) -> Vec<Fault> {
    let mut faults = check_cluster(settings);
    let topics = settings.get("topics").and_then(Value::as_array);
    let names = topics.into_iter().flatten().filter_map(Value::as_str);
    for odd in names.filter(|name| !crate::walk::stream::is_topic(name)) {
        let message = format!("`{odd}` cannot be the name of a topic");
        faults.push(fault(Some("topics"), message, "A-Z a-z 0-9 . _ and - only"));
    }
    if topics.is_none_or(Vec::is_empty) {
        faults.push(fault(
            None,
            "the task names no topic",
            "add topics = [\"NAME\"]",
        ));
    }
    faults
}

/// A place in topics: one of these words, a template, an instant, or offsets by partition.
fn check_edge(settings: &Settings, name: &'static str, words: &[&str]) -> Option<Fault> {
    let is_good = match settings.get(name)? {
        Value::String(text) => {
            words.contains(&text.as_str())
                || text.contains("{{")
                || text.starts_with(|first: char| first.is_ascii_digit())
        }
        Value::Object(fields) => {
            let offsets = fields.get("offsets").and_then(Value::as_object);
            let are_good = |offsets: &serde_json::Map<String, Value>| {
                let mut keys = offsets.keys();
                keys.all(|key| key.parse::<i32>().is_ok_and(|number| number >= 0))
            };
            fields.len() == 1 && offsets.is_some_and(are_good)
        }
        _ => false,
    };
    let message = format!(
        "`{name}` is {}, an instant, or offsets by partition",
        words.join(", ")
    );
    (!is_good).then(|| fault(Some(name), message, "write { offsets = { 0 = 17 } }"))
}

fn check_produce(settings: &Settings) -> Vec<Fault> {
    let mut faults = check_cluster(settings);
    if !settings.has("topic") {
        faults.push(fault(None, "the task names no topic", "add `topic`"));
    }
    match (settings.has("value"), settings.has("file")) {
        (true, true) => faults.push(fault(
            Some("file"),
            "kafka_produce has `value` and `file`",
            "take one of them out",
        )),
        (false, false) if !settings.has("key") => faults.push(fault(
            None,
            "kafka_produce has nothing to write",
            "add `value` or `file`",
        )),
        _ => {}
    }
    faults
}

fn check_consume(settings: &Settings) -> Vec<Fault> {
    let mut faults = check_topics(settings);
    faults.extend(check_edge(settings, "from", &["last", "earliest"]));
    faults.extend(check_edge(settings, "to", &["end_at_start"]));
    faults
}

fn check_wait(settings: &Settings) -> Vec<Fault> {
    let mut faults = check_topics(settings);
    let words = ["run_start", "task_start", "earliest"];
    faults.extend(check_edge(settings, "since", &words));
    let filter = settings.get("filter").and_then(Value::as_str);
    let is_one = |text: &str| {
        let inner = text.trim().strip_prefix("{{");
        let inner = inner.and_then(|inner| inner.strip_suffix("}}"));
        inner.is_some_and(|inner| !inner.contains("}}"))
    };
    if filter.is_some_and(|text| !is_one(text)) {
        let help = "write filter = \"{{ record.value.order == params.order }}\"";
        faults.push(fault(Some("filter"), "`filter` is one {{ … }}", help));
    }
    faults
}
