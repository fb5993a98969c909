//! Records of a real broker become runs of the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::Value;
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server};
use tidemill_kafka_rig::{Broker, Producer, Wish};

/// A DAG whose one task copies what it read into a journal beside the home.
fn dag(broker: &Broker, topic: &str, settings: &str) -> String {
    format!(
        "[triggers.in.kafka]\nbrokers = ['{}']\ntopics = ['{topic}']\nstart = 'earliest'\n{settings}\n\
         [tasks]\ncopy = 'cat \"$TIDEMILL_KAFKA_BATCH\" >> ../../../../journal'\n",
        broker.address()
    )
}

/// The lines that tasks have copied, as JSON.
fn journal(place: &Place) -> Vec<Value> {
    let text = std::fs::read_to_string(place.folder().join("journal")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn wait_for_lines(place: &Place, n: usize) -> Vec<Value> {
    wait_for(&format!("{n} lines in the journal"), PATIENCE, || {
        Some(journal(place)).filter(|lines| lines.len() >= n)
    })
}

fn wait_for_successes(server: &Server, dag: &str, n: usize) -> Vec<Value> {
    wait_for(&format!("{n} runs of {dag} to succeed"), PATIENCE, || {
        let runs = server.runs(dag);
        let good = runs.iter().filter(|run| run["state"] == "success").count();
        (good >= n).then_some(runs)
    })
}

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
