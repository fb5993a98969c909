//! What people do with streams: read a range again, try a record or a run again, and let a task
//! say which records are wrong.

use super::scene::{Scene, wait_for_successes};
use super::support::waiting::wait_for;
use super::support::{PATIENCE, told};
use serde_json::{Value, json};
use tidemill_kafka_rig::{Producer, Wish};

fn quick(more: &str) -> String {
    format!("value_format = 'string'\nwindow = '10ms'\n{more}")
}

#[test]
fn a_range_is_read_again_beside_the_live_reading_and_ends_at_markers_and_empty_partitions() {
    let scene = Scene::new(3, &quick("mode = 'record'\nordering = 'none'"));
    // Partition 0: a, an undone record and its marker, b and its marker. Partition 2 stays empty.
    let producer = Producer::transactional(scene.broker, &scene.topic);
    producer.transaction(&scene.topic, &[Wish::value(0, "a")], true);
    producer.transaction(&scene.topic, &[Wish::value(0, "undone")], false);
    producer.transaction(&scene.topic, &[Wish::value(0, "b")], true);
    Producer::new(scene.broker).send(&scene.topic, &[Wish::value(1, "c")]);
    let server = scene.place.serve();
    scene.values(3);
    let dry = [
        "triggers", "replay", "s/in", "--from", "earliest", "--to", "latest", "-o", "json",
    ];
    let told_dry = scene.place.call_json(&[&dry[..], &["--dry-run"]].concat());
    assert_eq!(told_dry["records"], 7, "{told_dry}");
    assert_eq!(scene.shown(&server)["replays"], json!([]));
    scene.place.call_json(&dry);
    // What comes meanwhile is for the live reading alone.
    scene.send(&["d"]);
    let shown = scene.wait_until(&server, "the end of the replay", |shown| {
        shown["replays"][0]["state"] == "done"
    });
    assert_eq!(
        (&shown["replays"][0]["taken"], &shown["replays"][0]["left"]),
        (&json!(3), &json!(0))
    );
    let mut values: Vec<String> = scene.values(7).iter().map(Value::to_string).collect();
    values.sort();
    assert_eq!(
        values,
        [
            "\"a\"", "\"a\"", "\"b\"", "\"b\"", "\"c\"", "\"c\"", "\"d\""
        ]
    );
    let runs = wait_for_successes(&server, "s", 7);
    let again = runs
        .iter()
        .filter(|run| run["dag_run_id"].as_str().unwrap().ends_with("__replay1"));
    assert_eq!(again.count(), 3);
    // A run's own records.
    let run = format!("kafka__{}__1__0-0", scene.topic);
    let of_run = scene
        .place
        .call_json(&["triggers", "replay", "s/in", &run, "-o", "json"]);
    assert_eq!(of_run["records"], 1);
    assert_eq!(scene.values(8).len(), 8);
    // What is gone is refused, unless somebody says that it may be.
    scene.broker.delete_records(&scene.topic, 0, 1);
    let gone = [
        "triggers",
        "replay",
        "s/in",
        "--from",
        "0",
        "--to",
        "9",
        "--partition",
        "0",
    ];
    let refused = scene.place.call(&gone);
    assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
    assert!(
        told(&refused).contains("the oldest that is kept is 1"),
        "{}",
        told(&refused)
    );
    let allowed = scene
        .place
        .call(&[&gone[..], &["--allow-gap", "--dry-run"]].concat());
    assert!(allowed.status.success(), "{}", told(&allowed));
}

#[test]
fn a_task_says_which_records_are_wrong_and_a_person_tries_them_again() {
    let letters = super::Broker::shared().new_topic("letters", 1);
    let scene = Scene::new(
        1,
        &format!("window = '200ms'\ndead_letter_topic = '{letters}'"),
    );
    let path = scene.place.dags().join("s.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let strict = text.clone()
        + "check = '''\necho '{\"partition\": 0, \"offset\": 1, \"reason\": \"too small\"}' >> \"$TIDEMILL_REJECTS\"\n'''\n";
    scene.place.write_dag("s.toml", &strict);
    scene.send(&["{\"n\": 10}", "{\"n\":  1.50}"]);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "the rejected record to be sent", |shown| {
        shown["quarantine"][0]["sent_at"].is_string()
    });
    let poison = &shown["quarantine"][0];
    assert_eq!(
        (&poison["offset"], &poison["class"], &poison["message"]),
        (&json!(1), &json!("rejected"), &json!("too small"))
    );
    // Its bytes are those that came.
    assert_eq!(poison["value_bytes"], "{\"n\":  1.50}".len());
    assert_eq!(shown["quarantine"].as_array().unwrap().len(), 1);
    scene.place.write_dag("s.toml", &text);
    wait_for("the new version", PATIENCE, || {
        let code = server.body("/api/v2/dagSources/s");
        (!code.to_string().contains("REJECTS")).then_some(())
    });
    let id = poison["id"].to_string();
    let retried = scene
        .place
        .call(&["triggers", "quarantine", "retry", "s/in", &id]);
    assert!(retried.status.success(), "{}", told(&retried));
    assert_eq!(scene.values(3)[2], json!({"n": 1.5}));
    assert_eq!(scene.shown(&server)["quarantine"], json!([]));
    let again = scene
        .place
        .call(&["triggers", "quarantine", "retry", "s/in", &id]);
    assert_eq!(again.status.code(), Some(3), "{}", told(&again));
}

/// A DAG whose runs fail on the value `bad` while a file is there.
fn picky(scene: &Scene, settings: &str) {
    scene.write(&format!("value_format = 'string'\n{settings}"));
    let path = scene.place.dags().join("s.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let stop = scene.place.folder().join("stop");
    let text = text.replace(
        "copy = 'cat",
        &format!(
            "copy = 'if grep -q bad \"$TIDEMILL_KAFKA_BATCH\" && [ -e {} ]; then exit 1; fi; cat",
            stop.display()
        ),
    );
    std::fs::write(stop, "").unwrap();
    scene.place.write_dag("s.toml", &text);
}

#[test]
fn a_failed_run_holds_up_its_lane_until_a_person_has_decided_even_over_a_restart() {
    let scene = Scene::new(2, "");
    picky(&scene, "mode = 'record'\non_lane_failure = 'block'");
    scene.send(&["a", "bad", "c"]);
    Producer::new(scene.broker).send(&scene.topic, &[Wish::value(1, "x")]);
    let server = scene.place.serve();
    let blocked =
        |shown: &Value| shown["blocked"][0]["lane"] == format!("{}/0", scene.topic).as_str();
    let shown = scene.wait_until(&server, "the lane to be blocked", blocked);
    let run = format!("kafka__{}__0__1-1", scene.topic);
    assert_eq!(shown["blocked"][0]["dag_run_id"], run);
    // The other lane goes on.
    wait_for_successes(&server, "s", 2);
    let mut values: Vec<String> = scene.values(2).iter().map(Value::to_string).collect();
    values.sort();
    assert_eq!(values, ["\"a\"", "\"x\""]);
    drop(server);
    let server = scene.place.serve();
    scene.wait_until(&server, "the lane to be blocked still", blocked);
    let why = scene
        .place
        .call(&["runs", "why", &format!("s/kafka__{}__0__2-2", scene.topic)]);
    assert!(why.status.success() || !told(&why).is_empty());
    assert_eq!(scene.values(2).len(), 2);
    // Tried in vain it holds the lane up again; tried well it lets the others go, in order.
    let lane = format!("{}/0", scene.topic);
    let unblock = |how: &str| {
        let done = scene
            .place
            .call(&["triggers", "unblock", "s/in", &lane, how]);
        assert!(done.status.success(), "{}", told(&done));
    };
    let tries =
        |server: &super::support::Server| server.task("s", &run, "copy")["try_number"].clone();
    let before = tries(&server);
    unblock("--retry");
    wait_for("the second failure", PATIENCE, || {
        (tries(&server) != before && server.run("s", &run)["state"] == "failed").then_some(())
    });
    scene.wait_until(&server, "the lane to be blocked again", blocked);
    std::fs::remove_file(scene.place.folder().join("stop")).unwrap();
    unblock("--retry");
    assert_eq!(scene.values(4)[2..], ["bad", "c"]);
    assert_eq!(scene.shown(&server)["blocked"], json!([]));
    // Passing over it is the other way.
    std::fs::write(scene.place.folder().join("stop"), "").unwrap();
    scene.send(&["bad", "e"]);
    scene.wait_until(&server, "the lane to be blocked anew", blocked);
    unblock("--skip");
    assert_eq!(scene.values(5)[4], "e");
    let unknown = scene
        .place
        .call(&["triggers", "unblock", "s/in", "nowhere", "--skip"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", told(&unknown));
}

#[test]
fn records_of_a_failed_run_go_to_quarantine_where_the_file_says_so() {
    let scene = Scene::new(1, "");
    picky(
        &scene,
        "window = '1h'\non_run_failure = 'quarantine'\nmax_messages = 2",
    );
    scene.send(&["bad", "with it"]);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "two records in quarantine", |shown| {
        shown["quarantine"]
            .as_array()
            .is_some_and(|held| held.len() == 2)
    });
    for one in shown["quarantine"].as_array().unwrap() {
        assert_eq!(one["class"], "run_failed");
    }
    std::fs::remove_file(scene.place.folder().join("stop")).unwrap();
    let id = shown["quarantine"][1]["id"].to_string();
    scene
        .place
        .call(&["triggers", "quarantine", "retry", "s/in", &id]);
    assert_eq!(scene.values(1), ["bad"]);
}
