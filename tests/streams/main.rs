//! Records of a real broker become runs of the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod again;
mod burst;
mod compacted;
mod hands;
mod odd;
mod ranges;
mod scene;
mod settings;
#[path = "../support/mod.rs"]
pub(crate) mod support;
mod tasks;
mod topics;

use scene::{Scene, dag, wait_for_lines, wait_for_successes};
use serde_json::Value;
use support::waiting::{wait_for, whole_lines};
use support::{PATIENCE, Place};
use tidemill_kafka_rig::{Broker, Producer, Wish};

#[test]
fn records_become_one_run_with_all_that_a_task_needs() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.new_topic("orders", 1);
    Producer::new(broker).send(
        &topic,
        &[
            Wish::value(0, r#"{"n": 1, "id": 12345678901234567890123}"#),
            Wish::value(0, r#"{"n": 2}"#),
        ],
    );
    let journal_path = place.folder().join("journal");
    let text = dag(broker, &topic, "filter = '{{ record.value.n > 0 }}'")
        .replace("../../../../journal", &journal_path.display().to_string())
        + "tell = 'echo \"$TIDEMILL_KAFKA_TOPIC/$TIDEMILL_KAFKA_PARTITION $TIDEMILL_KAFKA_FIRST_OFFSET-$TIDEMILL_KAFKA_LAST_OFFSET {{ trigger.count }}\"'\n";
    place.write_dag("orders.toml", &text);
    let server = place.serve();
    let runs = wait_for_successes(&server, "orders", 1);
    assert_eq!(runs[0]["dag_run_id"], format!("kafka__{topic}__0__0-1"));
    assert_eq!(runs[0]["run_type"], "asset_triggered");
    let lines = wait_for_lines(&place, 2);
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["offset"], &lines[0]["value"]["n"]),
        (&0.into(), &1.into())
    );
    let raw = std::fs::read_to_string(&journal_path).unwrap();
    assert!(raw.contains("12345678901234567890123"), "{raw}");
    let told = server.body(&format!(
        "/api/v2/dags/orders/dagRuns/{}/taskInstances/tell/xcomEntries/return_value",
        runs[0]["dag_run_id"].as_str().unwrap()
    ));
    assert_eq!(told["value"], format!("{topic}/0 0-1 2"));
    // What comes later is another run.
    Producer::new(broker).send(
        &topic,
        &[Wish::value(0, r#"{"n": 0}"#), Wish::value(0, r#"{"n": 3}"#)],
    );
    let runs = wait_for_successes(&server, "orders", 2);
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["dag_run_id"], format!("kafka__{topic}__0__3-3"));
}

#[test]
fn what_cannot_be_read_goes_to_quarantine_and_to_the_dead_letter_topic() {
    let letters = Broker::shared().new_topic("letters", 1);
    let scene = Scene::new(
        1,
        &format!("filter = '{{{{ record.value.n > 0 }}}}'\ndead_letter_topic = '{letters}'"),
    );
    let bad = Wish {
        headers: vec![
            ("h".to_string(), Some(b"1".to_vec())),
            ("h".to_string(), Some(vec![255])),
            ("h".to_string(), None),
        ],
        key: Some(b"k".to_vec()),
        ..Wish::value(0, "hunter2{")
    };
    let good = |value: &str| Wish::value(0, value);
    let wishes = [
        good(r#"{"n": 1}"#),
        bad,
        good(r#"{"n": 0}"#),
        good("{}"),
        good(r#"{"n": 2}"#),
    ];
    Producer::new(scene.broker).send(&scene.topic, &wishes);
    let server = scene.place.serve();
    assert_eq!(scene.values(2).len(), 2);
    let shown = scene.wait_until(&server, "the dead letter to be sent", |shown| {
        shown["quarantine"][0]["sent_at"].is_string()
    });
    let counts = ["taken", "filtered", "missing", "quarantined"].map(|key| shown[key].clone());
    assert_eq!(counts, [2, 2, 1, 1].map(Value::from));
    let poison = &shown["quarantine"][0];
    assert_eq!(
        (&poison["offset"], &poison["class"]),
        (&1.into(), &"decode".into())
    );
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    // The letter is a record like others: another DAG reads it, bytes and headers and all.
    let journal = scene.place.folder().join("letters");
    let reader = dag(scene.broker, &letters, "value_format = 'string'")
        .replace("../../../../journal", &journal.display().to_string());
    scene.place.write_dag("letters.toml", &reader);
    let text = wait_for("the letter to be read", PATIENCE, || {
        Some(whole_lines(&journal)).filter(|text| !text.is_empty())
    });
    let letter: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (&letter["value"], &letter["key"]),
        (&"hunter2{".into(), &"k".into())
    );
    let headers = letter["headers"].as_array().unwrap();
    assert_eq!(headers[1], serde_json::json!(["h", {"base64": "/w=="}]));
    assert_eq!(headers[2], serde_json::json!(["h", null]));
    assert!(headers.contains(&serde_json::json!(["tidemill.error.offset", "1"])));
    let id = poison["id"].to_string();
    let dropped = scene
        .place
        .call(&["triggers", "quarantine", "drop", "s/in", &id]);
    assert!(dropped.status.success(), "{}", support::told(&dropped));
    assert_eq!(scene.shown(&server)["quarantine"], serde_json::json!([]));
}

#[test]
fn a_paused_stream_loses_nothing_and_goes_on_where_a_person_says() {
    let scene = Scene::new(1, "value_format = 'string'\nwindow = '10ms'");
    let server = scene.place.serve();
    scene.send(&["a"]);
    assert_eq!(scene.values(1), ["a"]);
    let paused = scene.place.call(&["triggers", "pause", "s/in"]);
    assert!(paused.status.success(), "{}", support::told(&paused));
    scene.wait_until(&server, "the pause", |shown| shown["state"] == "paused");
    scene.send(&["b", "c"]);
    let told = scene.place.call_json(&[
        "triggers",
        "seek",
        "s/in",
        "--earliest",
        "--dry-run",
        "-o",
        "json",
    ]);
    assert_eq!(told["partitions"][0]["again"], 1);
    let refused = scene
        .place
        .call(&["triggers", "seek", "s/in", "--to-offset", "p0=99"]);
    assert_eq!(
        refused.status.code(),
        Some(5),
        "{}",
        support::told(&refused)
    );
    scene
        .place
        .call_json(&["triggers", "seek", "s/in", "--earliest", "-o", "json"]);
    scene.place.call(&["triggers", "resume", "s/in"]);
    // What is read again is in another run.
    let mut values: Vec<String> = scene
        .values(4)
        .iter()
        .map(|one| one.as_str().unwrap().to_string())
        .collect();
    values.sort();
    assert_eq!(values, ["a", "a", "b", "c"]);
    let busy = scene.place.call(&["triggers", "seek", "s/in", "--latest"]);
    assert_eq!(busy.status.code(), Some(5), "{}", support::told(&busy));
}

#[test]
fn records_that_are_gone_halt_a_partition_and_later_partitions_begin_at_their_first_record() {
    let scene = Scene::new(1, "value_format = 'string'\nwindow = '10ms'");
    let server = scene.place.serve();
    scene.send(&["a"]);
    assert_eq!(scene.values(1), ["a"]);
    drop(server);
    scene.send(&["b", "c"]);
    scene.broker.delete_records(&scene.topic, 0, 2);
    scene.broker.add_partitions(&scene.topic, 2);
    Producer::new(scene.broker).send(&scene.topic, &[Wish::value(1, "d")]);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "the halt", |shown| shown["state"] == "halted");
    assert!(
        shown["why"]
            .as_str()
            .unwrap()
            .contains("records 1 to 1 are gone"),
        "{shown}"
    );
    assert_eq!(scene.values(2), ["a", "d"]);
    let sought = scene
        .place
        .call(&["triggers", "seek", "s/in", "--earliest"]);
    assert!(sought.status.success(), "{}", support::told(&sought));
    assert_eq!(scene.values(3), ["a", "d", "c"]);
}

#[test]
fn records_of_undone_transactions_are_never_read_and_markers_are_no_lag() {
    let scene = Scene::new(1, "value_format = 'string'\nwindow = '10ms'");
    let producer = Producer::transactional(scene.broker, &scene.topic);
    producer.transaction(&scene.topic, &[Wish::value(0, "undone")], false);
    producer.transaction(&scene.topic, &[Wish::value(0, "done")], true);
    let server = scene.place.serve();
    assert_eq!(scene.values(1), ["done"]);
    scene.wait_until(&server, "all to be read", |shown| {
        shown["partitions"][0]["caught_up"] == true && shown["lag"] == 0
    });
    producer.open_transaction(&scene.topic, &[Wish::value(0, "late")]);
    scene.send(&["behind"]);
    producer.commit();
    assert_eq!(scene.values(3), ["done", "late", "behind"]);
}

#[test]
fn a_topic_that_is_not_there_is_a_state_and_each_record_can_be_a_run() {
    let (broker, place) = (Broker::shared(), Place::new());
    let scene = Scene {
        topic: broker.new_name("later"),
        broker,
        place,
    };
    scene.write("value_format = 'string'\nmode = 'record'\nordering = 'none'");
    let server = scene.place.serve();
    scene.wait_until(&server, "the wait", |shown| {
        let why = shown["why"].as_str().unwrap_or("");
        shown["state"] == "waiting" && why.contains("is not there")
    });
    broker.create_topic(&scene.topic, 1, &[]);
    scene.send(&["a", "b", "c"]);
    let runs = wait_for_successes(&server, "s", 3);
    assert_eq!(runs.len(), 3);
    scene.values(3);
}

#[test]
fn a_broker_that_dies_is_a_state_and_reading_goes_on_when_it_is_back() {
    static OWN: std::sync::OnceLock<Broker> = std::sync::OnceLock::new();
    let broker = OWN.get_or_init(Broker::start);
    let place = Place::new();
    let topic = broker.new_topic("t", 1);
    let scene = Scene {
        broker,
        place,
        topic,
    };
    scene.write("value_format = 'string'\nwindow = '10ms'");
    scene.send(&["a"]);
    let server = scene.place.serve();
    assert_eq!(scene.values(1), ["a"]);
    scene.broker.stop("KILL");
    scene.wait_until(&server, "the wait", |shown| shown["state"] == "waiting");
    scene.broker.resume();
    scene.send(&["b"]);
    assert_eq!(scene.values(2), ["a", "b"]);
    scene.wait_until(&server, "reading", |shown| shown["state"] == "reading");
    // One that is away when the server starts, for as long as it takes.
    drop(server);
    scene.send(&["c"]);
    scene.broker.stop("KILL");
    let server = scene.place.serve();
    scene.wait_until(&server, "the wait", |shown| shown["state"] == "waiting");
    support::waiting::let_pass(away());
    scene.broker.resume();
    assert_eq!(scene.values(3), ["a", "b", "c"]);
    scene.wait_until(&server, "reading", |shown| shown["state"] == "reading");
}

/// How much longer a broker stays away than it takes to be noticed: `TIDEMILL_AWAY_SECONDS=60` is
/// the long form.
fn away() -> std::time::Duration {
    let given = std::env::var("TIDEMILL_AWAY_SECONDS").ok();
    let seconds = given.and_then(|text| text.parse().ok());
    std::time::Duration::from_secs(seconds.unwrap_or(0))
}
