//! Tasks that write records, read ranges and wait for records.

use super::support::waiting::wait_for;
use super::support::{PATIENCE, Place, Server};
use rustix::process::Signal;
use serde_json::{Value, json};
use tidemill_kafka_rig::{Broker, Producer, Wish};

pub(super) fn output(server: &Server, dag: &str, run: &str, task: &str) -> Value {
    let path =
        format!("/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value");
    let value = server.body(&path)["value"].clone();
    match value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
    {
        Some(inner) => inner,
        None => value,
    }
}

/// Runs a DAG to its good end, and gives what a task of it left.
fn run(place: &Place, server: &Server, dag: &str, task: &str) -> Value {
    let run = place.trigger(dag, &[]);
    let ended = server.wait_for_end(dag, &run);
    assert_eq!(ended["state"], "success", "{ended}");
    output(server, dag, &run, task)
}

/// Where Java's clients send a key: murmur2 of it, without its sign.
fn partition_of(key: &[u8], n_partitions: u32) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        word = (word ^ (word >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    ((hash ^ (hash >> 15)) & 0x7fff_ffff) % n_partitions
}

#[test]
fn a_task_writes_records_that_another_reads() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.new_topic("out", 5);
    let brokers = broker.address();
    let text = format!(
        r#"
[params]
who = "me"
[tasks.lines]
shell = 'printf "one\ntwo\r\n\nthree" > "$TIDEMILL_RUN_DIR/lines"'
[tasks.one.kafka_produce]
brokers = ["{brokers}"]
topic = "{topic}"
key = "{{{{ params.who }}}}"
value = {{ n = 1, who = "{{{{ params.who }}}}" }}
headers = {{ h = "{{{{ run_id }}}}" }}
[tasks.many]
depends_on = ["lines", "one"]
[tasks.many.kafka_produce]
brokers = ["{brokers}"]
topic = "{topic}"
key = "other"
file = "lines"
transaction = true
[tasks.read]
depends_on = ["many"]
[tasks.read.kafka_consume]
brokers = ["{brokers}"]
topics = ["{topic}"]
value_format = "string"
"#
    );
    place.write_dag("writes.toml", &text);
    let server = place.serve();
    server.wait_for_dag("writes");
    let run_id = place.trigger("writes", &[]);
    let ended = server.wait_for_end("writes", &run_id);
    assert_eq!(ended["state"], "success", "{ended}");
    let many = output(&server, "writes", &run_id, "many");
    assert_eq!((&many["count"], &many["topic"]), (&json!(3), &json!(topic)));
    let read = output(&server, "writes", &run_id, "read");
    let records = read["records"].as_array().unwrap();
    let find = |value: &str| {
        let mut all = records.iter();
        all.find(|one| one["value"] == value)
            .unwrap_or_else(|| panic!("{read}"))
    };
    let one = find(r#"{"n":1,"who":"me"}"#);
    assert_eq!(one["partition"], partition_of(b"me", 5));
    assert_eq!(
        one["headers"],
        json!([["h", run_id], ["ce_id", format!("writes/{run_id}/one")]])
    );
    let id = json!([["ce_id", format!("writes/{run_id}/many/2")]]);
    assert_eq!(
        (&find("two")["headers"], &find("two")["key"]),
        (&id, &json!("other"))
    );
    assert_eq!(find("three")["partition"], partition_of(b"other", 5));
    assert_eq!(records.len(), 4);
    // What cannot be written says why, and is not tried for ever.
    let bad = text.replace(
        &format!("topic = \"{topic}\"\nkey = \"{{{{"),
        "topic = \"not.there\"\ntimeout = \"2s\"\nkey = \"{{",
    );
    place.write_dag(
        "bad.toml",
        &bad.replace("[tasks.one.", "[tasks.one]\nretries = 0\n[tasks.one."),
    );
    server.wait_for_dag("bad");
    let run_id = place.trigger("bad", &[]);
    assert_eq!(server.wait_for_end("bad", &run_id)["state"], "failed");
}

#[test]
fn what_a_failed_try_has_written_in_a_transaction_is_seen_by_nobody() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.new_name("small");
    broker.create_topic(&topic, 1, &[("max.message.bytes", "1000")]);
    let brokers = broker.address();
    let large = "x".repeat(2000);
    let text = format!(
        r#"
[tasks.lines]
shell = 'printf "one\ntwo\n{large}" > "$TIDEMILL_RUN_DIR/lines"'
[tasks.many]
depends_on = ["lines"]
retries = 0
[tasks.many.kafka_produce]
brokers = ["{brokers}"]
topic = "{topic}"
file = "lines"
transaction = true
[tasks.read]
depends_on = ["many"]
trigger_rule = "all_done"
[tasks.read.kafka_consume]
brokers = ["{brokers}"]
topics = ["{topic}"]
value_format = "string"
"#
    );
    place.write_dag("undone.toml", &text);
    let server = place.serve();
    server.wait_for_dag("undone");
    let run = place.trigger("undone", &[]);
    server.wait_for_end("undone", &run);
    assert_eq!(server.task("undone", &run, "many")["state"], "failed");
    assert_eq!(server.task("undone", &run, "read")["state"], "success");
    assert_eq!(output(&server, "undone", &run, "read")["count"], 0);
}

#[test]
fn a_range_is_fixed_by_the_first_try_and_the_next_run_begins_where_a_success_has_ended() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.new_topic("in", 2);
    let producer = Producer::new(broker);
    let send = |values: &[&str]| {
        let wishes: Vec<Wish> = values.iter().map(|value| Wish::value(0, *value)).collect();
        producer.send(&topic, &wishes);
    };
    let text = format!(
        r#"
[tasks.read]
retries = 1
retry_delay = "1s"
outputs = {{ n = "{{{{ {{'2': result.count}}[try_number | string] }}}}" }}
[tasks.read.kafka_consume]
brokers = ["{}"]
topics = ["{topic}"]
value_format = "string"
save_to = "records.ndjson"
[tasks.show]
depends_on = ["read"]
shell = 'cat "$TIDEMILL_RUN_DIR/records.ndjson"'
"#,
        broker.address()
    );
    place.write_dag("reads.toml", &text);
    send(&["a", "b"]);
    let server = place.serve();
    server.wait_for_dag("reads");
    // The first try fails after it has read; what comes meanwhile is not for the second.
    let first = place.trigger("reads", &[]);
    wait_for("the first try to fail", PATIENCE, || {
        let task = server.task("reads", &first, "read");
        (task["state"] == "up_for_retry" || task["try_number"] == 2).then_some(())
    });
    send(&["c"]);
    assert_eq!(server.wait_for_end("reads", &first)["state"], "success");
    let read = output(&server, "reads", &first, "read");
    assert_eq!(read["count"], 2);
    assert_eq!(
        read["partitions"][0],
        json!({"topic": topic, "partition": 0, "first_offset": 0, "end_offset": 2})
    );
    let second = place.trigger("reads", &[]);
    assert_eq!(server.wait_for_end("reads", &second)["state"], "success");
    let read = output(&server, "reads", &second, "read");
    assert_eq!(
        (&read["count"], &read["partitions"][0]["first_offset"]),
        (&json!(1), &json!(2))
    );
    let shown = server.body(&format!(
        "/api/v2/dags/reads/dagRuns/{second}/taskInstances/show/xcomEntries/return_value"
    ));
    let shown = shown["value"].to_string().replace('\\', "");
    assert!(shown.contains("\"value\":\"c\""), "{shown}");
    // A failure moves nothing: the next run reads the same again.
    let failing = text.replace("'2': result.count", "'9': 1");
    place.write_dag("reads.toml", &failing);
    wait_for("the new version", PATIENCE, || {
        let code = server.body("/api/v2/dagSources/reads");
        code["content"].to_string().contains("'9'").then_some(())
    });
    send(&["d"]);
    let failed = place.trigger("reads", &[]);
    assert_eq!(server.wait_for_end("reads", &failed)["state"], "failed");
    place.write_dag("reads.toml", &text.replace("'2'", "'1'"));
    wait_for("the new version", PATIENCE, || {
        let code = server.body("/api/v2/dagSources/reads");
        code["content"].to_string().contains("'1'").then_some(())
    });
    let read = run(&place, &server, "reads", "read");
    assert_eq!(
        (&read["count"], &read["partitions"][0]["first_offset"]),
        (&json!(1), &json!(3))
    );
}

#[test]
fn a_wait_holds_no_slot_and_misses_nothing_while_its_server_is_away() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.new_topic("approvals", 1);
    let producer = Producer::new(broker);
    let text = format!(
        r#"
[dag]
max_active_tasks = 1
[params]
order = 7
[tasks.wait]
outputs = {{ what = "{{{{ record.value.n }}}}" }}
[tasks.wait.kafka_wait]
brokers = ["{0}"]
topics = ["{topic}"]
since = "task_start"
filter = "{{{{ record.value.order == params.order }}}}"
[tasks.other.kafka_wait]
brokers = ["{0}"]
topics = ["{topic}"]
since = "earliest"
filter = "{{{{ record.key == 'k' }}}}"
[tasks.late]
[tasks.late.kafka_wait]
brokers = ["{0}"]
topics = ["{topic}"]
filter = "{{{{ record.value.order == 'never' }}}}"
timeout = "100ms"
soft_fail = true
[tasks.usual]
[tasks.usual.kafka_wait]
brokers = ["{0}"]
topics = ["{topic}"]
filter = "{{{{ record.value.order == 8 }}}}"
"#,
        broker.address()
    );
    let early = Wish {
        key: Some(b"k".to_vec()),
        ..Wish::value(0, r#"{"order": 7, "n": "too early"}"#)
    };
    producer.send(&topic, &[early]);
    place.write_dag("waits.toml", &text);
    let mut server = place.serve();
    server.wait_for_dag("waits");
    let run = place.trigger("waits", &[]);
    // All three wait one after another although one task may run at a time.
    server.wait_for_task("waits", &run, "wait", "deferred");
    server.wait_for_task("waits", &run, "other", "success");
    server.wait_for_task("waits", &run, "late", "skipped");
    producer.send(
        &topic,
        &[
            Wish::value(0, "not JSON"),
            Wish::value(0, r#"{"order": 8}"#),
        ],
    );
    server.signal(Signal::KILL);
    server.wait_until_gone();
    producer.send(
        &topic,
        &[Wish::value(0, r#"{"order": 7, "n": "while away"}"#)],
    );
    let server = place.serve();
    assert_eq!(server.wait_for_end("waits", &run)["state"], "success");
    let found = output(&server, "waits", &run, "wait");
    assert_eq!(found["value"]["n"], "while away");
    let path = format!("/api/v2/dags/waits/dagRuns/{run}/taskInstances/wait/xcomEntries/what");
    assert_eq!(server.body(&path)["value"], "while away");
    // Without `since` it begins with the run.
    let usual = output(&server, "waits", &run, "usual");
    assert_eq!(usual["value"]["order"], 8);
    assert_eq!(
        output(&server, "waits", &run, "other")["value"]["n"],
        "too early"
    );
}
