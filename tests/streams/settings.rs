//! The keys of a stream, each by what it changes: where reading begins, what makes a batch, what
//! is read twice and what is not read at all.

use super::scene::{Scene, wait_for_successes};
use super::support::waiting::wait_for;
use super::support::{PATIENCE, told};
use serde_json::{Value, json};
use tidemill_kafka_rig::{Producer, Wish};

/// Values with keys, for partition 0.
fn keyed(pairs: &[(&str, &str)]) -> Vec<Wish> {
    let wishes = pairs.iter().map(|(key, value)| Wish {
        key: Some(key.as_bytes().to_vec()),
        ..Wish::value(0, *value)
    });
    wishes.collect()
}

fn ids(runs: &[Value]) -> Vec<&str> {
    let mut ids: Vec<&str> = runs
        .iter()
        .filter_map(|run| run["dag_run_id"].as_str())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_trigger_names_its_runs_and_a_name_that_is_taken_gets_a_suffix() {
    let scene = Scene::new(
        1,
        "mode = 'record'\n[triggers.in]\nrun_id = 'for {{ trigger.first.value.who }}'",
    );
    scene.send(&[r#"{"who": "ann"}"#, r#"{"who": "bob"}"#]);
    let server = scene.place.serve();
    let runs = wait_for_successes(&server, "s", 2);
    assert_eq!(ids(&runs), ["for_ann", "for_bob"]);
    // One that comes later, and two that come together.
    scene.send(&[
        r#"{"who": "ann"}"#,
        r#"{"who": "cid"}"#,
        r#"{"who": "cid"}"#,
    ]);
    let runs = wait_for_successes(&server, "s", 5);
    let found = ids(&runs);
    assert!(found.contains(&"for_cid"), "{found:?}");
    for name in ["for_ann__", "for_cid__"] {
        let again = found.iter().filter(|id| id.starts_with(name));
        assert_eq!(again.count(), 1, "{found:?}");
    }
    assert_eq!(scene.values(5).len(), 5);
}

#[test]
fn a_key_that_was_seen_makes_no_run_in_its_batch_later_or_after_a_restart() {
    let scene = Scene::new(
        2,
        "window = '100ms'\ndedupe = { key = '{{ record.value.id }}', ttl = '24h' }",
    );
    let record = |id: i64, n: i64| format!("{{\"id\": {id}, \"n\": {n}}}");
    scene.send(&[&record(1, 1), &record(1, 2), &record(2, 3)]);
    let server = scene.place.serve();
    assert_eq!(scene.values(2).len(), 2);
    let of_other = [Wish::value(1, record(2, 4)), Wish::value(1, record(3, 5))];
    Producer::new(scene.broker).send(&scene.topic, &of_other);
    scene.wait_until(&server, "the second double", |shown| {
        shown["deduped"] == 2 && shown["taken"] == 3
    });
    // A task that is killed before it has copied its record is not tried again here.
    assert_eq!(scene.values(3).len(), 3);
    drop(server);
    scene.send(&[&record(3, 6), &record(4, 7)]);
    let server = scene.place.serve();
    scene.wait_until(&server, "the third double", |shown| {
        shown["deduped"] == 3 && shown["taken"] == 4
    });
    assert_eq!(scene.numbers(4), [1, 3, 5, 7]);
}

#[test]
fn a_batch_by_key_is_a_run_for_each_key_with_its_records_in_order() {
    let scene = Scene::new(
        1,
        "value_format = 'string'\nmax_messages = 5\nwindow = '1h'\nbatch_by = 'key'",
    );
    let records = [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"), ("a", "5")];
    Producer::new(scene.broker).send(&scene.topic, &keyed(&records));
    let server = scene.place.serve();
    assert_eq!(wait_for_successes(&server, "s", 2).len(), 2);
    let shown = scene.shown(&server);
    let mut sizes: Vec<i64> = shown["batches"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|batch| batch["records"].as_i64())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 3], "{shown}");
    let lines = super::scene::wait_for_lines(&scene.place, 5);
    for (key, values) in [("a", vec!["1", "3", "5"]), ("b", vec!["2", "4"])] {
        let of_key = lines.iter().filter(|line| line["key"] == key);
        let found: Vec<&Value> = of_key.map(|line| &line["value"]).collect();
        assert_eq!(found, values);
    }
}

#[test]
fn a_batch_is_closed_by_its_bytes() {
    // The window is never over: only bytes close these batches.
    let scene = Scene::new(
        1,
        "value_format = 'string'\nmax_bytes = '2KiB'\nwindow = '1h'",
    );
    let value = "x".repeat(900);
    scene.send(&[value.as_str(); 6]);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "all six to be in runs", |shown| {
        shown["taken"] == 6
    });
    let batches = shown["batches"].as_array().unwrap();
    let records = batches.iter().filter_map(|batch| batch["records"].as_i64());
    assert_eq!(records.sum::<i64>(), 6, "{shown}");
    assert_eq!(server.runs("s").len(), batches.len(), "{shown}");
    for batch in batches {
        let n = batch["records"].as_i64().unwrap();
        assert!((2..=3).contains(&n), "{batch}");
    }
}

#[test]
fn who_reads_uncommitted_records_reads_those_of_undone_transactions_too() {
    let scene = Scene::new(
        1,
        "value_format = 'string'\nwindow = '10ms'\nisolation = 'read_uncommitted'",
    );
    let producer = Producer::transactional(scene.broker, &scene.topic);
    producer.transaction(&scene.topic, &[Wish::value(0, "undone")], false);
    producer.transaction(&scene.topic, &[Wish::value(0, "done")], true);
    let _server = scene.place.serve();
    assert_eq!(scene.values(2), ["undone", "done"]);
}

#[test]
fn reading_begins_at_offsets_or_at_an_instant_and_that_is_decided_once() {
    let old = |n: i64| Wish {
        timestamp: Some(1_700_000_000_000 + n * 60_000),
        ..Wish::value(0, format!("old {n}"))
    };
    let starts = [
        ("{ offsets = { 0 = 2 } }", 2),
        // The instant of the record with number 1; topics keep milliseconds.
        ("{ timestamp = 2023-11-14T22:14:20Z }", 1),
        ("{ duration = '1h' }", 3),
    ];
    for (start, first) in starts {
        let scene = Scene::bare(&super::Broker::shared().new_name("start"));
        let forever = [("retention.ms", "-1")];
        scene.broker.create_topic(&scene.topic, 1, &forever);
        let producer = Producer::new(scene.broker);
        producer.send(&scene.topic, &[old(0), old(1), old(2)]);
        scene.send(&["new"]);
        scene.write("value_format = 'string'\nwindow = '10ms'");
        let path = scene.place.dags().join("s.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("start = 'earliest'", &format!("start = {start}"));
        scene.place.write_dag("s.toml", &text);
        let all = ["old 0", "old 1", "old 2", "new"];
        let server = scene.place.serve();
        assert_eq!(scene.values(4 - first), all[first..], "{start}");
        scene.wait_until(&server, "all to be stored", |shown| {
            shown["partitions"][0]["next_offset"] == 4
        });
        // Another start in the file moves nothing that has begun.
        drop(server);
        scene
            .place
            .write_dag("s.toml", &text.replace(start, "'earliest'"));
        let server = scene.place.serve();
        scene.send(&["last"]);
        scene.wait_until(&server, "the last record", |shown| {
            shown["partitions"][0]["next_offset"] == 5
        });
        let values = scene.values(5 - first);
        assert_eq!(values.len(), 5 - first, "{start}: {values:?}");
    }
}

#[test]
fn too_many_open_runs_hold_reading_back_until_few_are_open() {
    let scene = Scene::new(1, "");
    let text = super::scene::dag(
        scene.broker,
        &scene.topic,
        "value_format = 'string'\nmode = 'record'\nordering = 'none'",
    );
    let journal = scene.place.folder().join("journal");
    let text = text.replace("../../../../journal", &journal.display().to_string());
    let text = text.replace(
        "copy = 'cat",
        &format!("copy = '{}; cat", scene.place.until("gate")),
    );
    scene
        .place
        .write_dag("s.toml", &format!("[dag]\nmax_active_runs = 2\n{text}"));
    let values: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let server = scene.place.serve();
    // Few at a time: a batch that was read already is committed whole.
    scene.send(&values[..10]);
    let held = |shown: &Value| shown["state"] == "held_back";
    let shown = scene.wait_until(&server, "the hold", held);
    assert!(shown["why"].as_str().unwrap().contains("runs are not over"));
    scene.send(&values[10..]);
    let taken = shown["taken"].as_i64().unwrap();
    assert!(taken < 40, "{shown}");
    assert_eq!(
        scene.shown(&server)["taken"],
        taken,
        "it reads nothing more"
    );
    scene.place.open("gate");
    assert_eq!(scene.values(40).len(), 40);
    scene.wait_until(&server, "reading", |shown| shown["state"] == "reading");
}

#[test]
fn a_transaction_that_does_not_end_is_a_state_and_metrics_tell_age_and_time_to_loss() {
    let scene = Scene::bare(&super::Broker::shared().new_name("open"));
    let week = (7 * 24 * 3600 * 1000).to_string();
    let settings = [("retention.ms", week.as_str())];
    scene.broker.create_topic(&scene.topic, 1, &settings);
    scene.write("value_format = 'string'\nwindow = '10ms'\nmax_messages = 1");
    let producer = Producer::transactional(scene.broker, &scene.topic);
    producer.open_transaction(&scene.topic, &[Wish::value(0, "late")]);
    scene.send(&["behind"]);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "the open transaction", |shown| {
        shown["state"] == "open_transaction"
    });
    let why = shown["why"].as_str().unwrap();
    assert!(
        why.contains("offset 0 of") && why.contains("2 offsets"),
        "{why}"
    );
    let metrics = metrics(&scene);
    for (name, value) in [
        ("tidemill_stream_high_watermark", Some("2")),
        ("tidemill_stream_end_offset", Some("0")),
        ("tidemill_stream_caught_up", Some("1")),
        ("tidemill_stream_lag", Some("0")),
        ("tidemill_stream_oldest_unprocessed_age_seconds", Some("0")),
        ("tidemill_stream_fenced_total", Some("0")),
    ] {
        let found = metric(&metrics, name);
        assert_eq!(
            found.map(|found| found.trim_end_matches(".0")),
            value,
            "{name}: {metrics}"
        );
    }
    producer.commit();
    assert_eq!(scene.values(2), ["late", "behind"]);
}

#[test]
fn a_record_that_waits_for_its_batch_has_an_age_and_a_time_until_it_is_lost() {
    let scene = Scene::bare(&super::Broker::shared().new_name("age"));
    let settings = [("retention.ms", "3600000")];
    scene.broker.create_topic(&scene.topic, 1, &settings);
    scene.write("value_format = 'string'\nwindow = '1h'");
    scene.send(&["waits"]);
    let _server = scene.place.serve();
    let told = wait_for("the time to loss", PATIENCE, || {
        let all = metrics(&scene);
        let value = |name: &str| metric(&all, name)?.parse::<f64>().ok();
        let left = value("tidemill_stream_time_to_retention_loss_seconds")?;
        let age = value("tidemill_stream_oldest_unprocessed_age_seconds")?;
        Some((age, left))
    });
    let (age, left) = told;
    assert!(age > 0.0 && left > 0.0, "{told:?}");
    assert!((age + left - 3600.0).abs() < 1.0, "{told:?}");
}

/// The text that Prometheus gets.
fn metrics(scene: &Scene) -> String {
    let socket = scene.place.home().join("server.sock");
    let asked = std::process::Command::new("curl")
        .args(["-sf", "--unix-socket"])
        .arg(socket)
        .arg("http://localhost/metrics")
        .output()
        .unwrap();
    assert!(asked.status.success(), "{asked:?}");
    String::from_utf8(asked.stdout).unwrap()
}

/// The value of the first line of a metric.
fn metric<'m>(metrics: &'m str, name: &str) -> Option<&'m str> {
    let mut lines = metrics.lines();
    let line = lines.find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('{'))
    })?;
    line.rsplit_once(' ').map(|(_, value)| value)
}

#[test]
fn what_retention_has_taken_is_passed_over_and_counted_where_the_file_says_so() {
    for (policy, first) in [("earliest", "c"), ("latest", "d")] {
        let scene = Scene::new(
            1,
            &format!("value_format = 'string'\nwindow = '10ms'\non_data_loss = '{policy}'"),
        );
        scene.send(&["a"]);
        let server = scene.place.serve();
        assert_eq!(scene.values(1), ["a"]);
        drop(server);
        scene.send(&["b", "c"]);
        scene.broker.delete_records(&scene.topic, 0, 2);
        let server = scene.place.serve();
        let n_lost = if policy == "earliest" { 1 } else { 2 };
        scene.wait_until(&server, "the gap", |shown| {
            let gaps = shown["gaps"].as_array().map_or(0, Vec::len);
            gaps == 1 && shown["lost"] == n_lost
        });
        scene.send(&["d"]);
        assert_eq!(scene.values(2)[1], first, "{policy}");
    }
}

#[test]
fn a_record_in_quarantine_can_be_seen_and_one_that_is_passed_over_is_counted() {
    let scene = Scene::new(1, "window = '10ms'");
    scene.send(&["{broken", "{\"n\": 1}"]);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "the quarantine", |shown| shown["quarantined"] == 1);
    let id = shown["quarantine"][0]["id"].to_string();
    let seen = scene
        .place
        .call_json(&["triggers", "quarantine", "show", "s/in", &id]);
    assert_eq!(seen["value"], "{broken");
    let listed = scene
        .place
        .call(&["triggers", "quarantine", "list", "s/in", "--limit", "0"]);
    assert_eq!(listed.status.code(), Some(2), "{}", told(&listed));
    let unknown = scene
        .place
        .call(&["triggers", "quarantine", "show", "s/in", "999"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", told(&unknown));
    scene.write("window = '10ms'\non_error = 'skip'");
    wait_for("the new version", PATIENCE, || {
        let code = server.body("/api/v2/dagSources/s");
        code.to_string().contains("on_error").then_some(())
    });
    scene.send(&["{broken too", "{\"n\": 2}"]);
    scene.wait_until(&server, "the skip", |shown| {
        (&shown["skipped"], &shown["quarantined"]) == (&json!(1), &json!(1))
    });
    assert_eq!(scene.values(2).len(), 2);
}

#[test]
fn a_replay_of_a_run_reads_what_that_run_was_made_of_in_each_of_its_topics() {
    let scene = Scene::new(1, "");
    let other = scene.broker.new_topic("other", 1);
    let text = super::scene::dag(
        scene.broker,
        &format!("{}', '{other}", scene.topic),
        "value_format = 'string'\nbatch_by = 'trigger'\nmax_messages = 3\nwindow = '1h'",
    );
    let journal = scene.place.folder().join("journal");
    let text = text.replace("../../../../journal", &journal.display().to_string());
    scene.place.write_dag("s.toml", &text);
    // The second topic has other offsets: what was there before is not of this run.
    let producer = Producer::new(scene.broker);
    producer.send(&other, &[Wish::value(0, "before"), Wish::value(0, "too")]);
    scene.send(&["first"]);
    let server = scene.place.serve();
    wait_for_successes(&server, "s", 1);
    producer.send(&other, &[Wish::value(0, "b")]);
    scene.send(&["a", "c"]);
    let runs = wait_for_successes(&server, "s", 2);
    let newest = runs
        .iter()
        .max_by_key(|run| run["queued_at"].as_str().map(str::to_string))
        .unwrap();
    let run = newest["dag_run_id"].as_str().unwrap();
    let told = scene
        .place
        .call_json(&["triggers", "replay", "s/in", run, "-o", "json"]);
    assert_eq!(told["records"], 3, "{told}");
    let again = wait_for_successes(&server, "s", 3);
    assert_eq!(again.len(), 3);
    let mut values: Vec<String> = scene.values(9)[6..]
        .iter()
        .filter_map(|value| value.as_str().map(str::to_string))
        .collect();
    values.sort();
    assert_eq!(values, ["a", "b", "c"]);
}

#[test]
fn a_group_that_the_file_names_is_told_how_far_reading_is() {
    let broker = super::Broker::shared();
    let group = broker.new_name("group");
    let scene = Scene::new(
        1,
        &format!("value_format = 'string'\nwindow = '10ms'\ngroup_id = '{group}'"),
    );
    scene.send(&["a", "b", "c"]);
    let _server = scene.place.serve();
    scene.values(3);
    wait_for("the group's offset", PATIENCE, || {
        (broker.committed(&group, &scene.topic, 0) == Some(3)).then_some(())
    });
}

#[test]
fn a_trigger_whose_brokers_are_away_does_not_disturb_another() {
    let scene = Scene::new(1, "");
    // Nobody listens there: the port is the system's, and was given back.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = nobody.local_addr().unwrap();
    let broken = format!(
        "[triggers.broken.kafka]\nbrokers = ['{nobody}']\ntopics = ['t']\n\
         [triggers.in.kafka]"
    );
    scene.write("value_format = 'string'\nwindow = '10ms'");
    let path = scene.place.dags().join("s.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("[triggers.in.kafka]", &broken);
    scene.place.write_dag("s.toml", &text);
    let server = scene.place.serve();
    for value in ["a", "b", "c"] {
        scene.send(&[value]);
    }
    assert_eq!(scene.values(3), ["a", "b", "c"]);
    wait_for("the wait of the other", PATIENCE, || {
        let shown = server.body("/api/tidemill/v1/dags/s/triggers/broken");
        let why = shown["why"].as_str().unwrap_or("");
        (shown["state"] == "waiting" && why.contains("the brokers")).then_some(())
    });
    assert_eq!(scene.shown(&server)["state"], "reading");
}
