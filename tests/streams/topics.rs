//! Topics that come, grow, go and come back as others; batches over partitions; pauses.

use super::scene::{Scene, wait_for_successes};
use super::support::told;
use serde_json::{Value, json};
use tidemill_kafka_rig::{Broker, Producer, Wish};

fn sorted(values: &[Value]) -> Vec<String> {
    let mut values: Vec<String> = values
        .iter()
        .map(|one| one.as_str().unwrap_or_default().to_string())
        .collect();
    values.sort();
    values
}

#[test]
fn a_topic_that_was_made_anew_and_filled_past_the_cursor_is_noticed_at_once() {
    for policy in ["fail", "earliest"] {
        let settings =
            format!("value_format = 'string'\nwindow = '10ms'\non_data_loss = '{policy}'");
        let scene = Scene::new(1, &settings);
        scene.send(&["a", "b"]);
        let server = scene.place.serve();
        assert_eq!(scene.values(2), ["a", "b"]);
        scene.broker.delete_topic(&scene.topic);
        scene.broker.create_topic(&scene.topic, 1, &[]);
        scene.send(&["c", "d", "e", "f"]);
        if policy == "fail" {
            let shown = scene.wait_until(&server, "the halt", |shown| shown["state"] == "halted");
            assert!(
                shown["why"].as_str().unwrap().contains("was made anew"),
                "{shown}"
            );
            assert_eq!(shown["gaps"][0]["from"], 2);
            assert_eq!(scene.values(2).len(), 2, "nothing of the new topic is read");
            let sought = scene
                .place
                .call(&["triggers", "seek", "s/in", "--earliest"]);
            assert!(sought.status.success(), "{}", told(&sought));
        }
        assert_eq!(scene.values(6), ["a", "b", "c", "d", "e", "f"]);
        let shown = scene.wait_until(&server, "reading", |shown| shown["state"] == "reading");
        assert_eq!(shown["gaps"].as_array().unwrap().len(), 1, "{shown}");
        assert_eq!(shown["partitions"].as_array().unwrap().len(), 1, "{shown}");
        wait_for_successes(&server, "s", 2);
    }
}

#[test]
fn a_topic_that_is_deleted_is_a_state_and_the_others_are_read_on() {
    let scene = Scene::new(1, "");
    let other = scene.broker.new_topic("other", 1);
    let text = super::scene::dag(
        scene.broker,
        &format!("{}', '{other}", scene.topic),
        "value_format = 'string'\nwindow = '10ms'",
    );
    let journal = scene.place.folder().join("journal");
    let text = text.replace("../../../../journal", &journal.display().to_string());
    scene.place.write_dag("s.toml", &text);
    let server = scene.place.serve();
    scene.send(&["a"]);
    assert_eq!(scene.values(1), ["a"]);
    scene.broker.delete_topic(&scene.topic);
    scene.wait_until(&server, "the wait", |shown| {
        let why = shown["why"].as_str().unwrap_or("");
        shown["state"] == "waiting" && why.contains("is not there")
    });
    Producer::new(scene.broker).send(&other, &[Wish::value(0, "b")]);
    assert_eq!(scene.values(2), ["a", "b"]);
}

#[test]
fn topics_are_found_by_a_pattern_and_later_ones_are_read_from_their_beginning() {
    let broker = Broker::shared();
    let word = broker.new_name("pattern").replace('.', "-");
    let topic = |name: &str| format!("{word}.{name}");
    broker.create_topic(&topic("one"), 1, &[]);
    let scene = Scene::bare("");
    let text = super::scene::dag(broker, "x", "value_format = 'string'\nwindow = '10ms'");
    let journal = scene.place.folder().join("journal");
    let text = text
        .replace("../../../../journal", &journal.display().to_string())
        .replace("topics = ['x']", &format!("topic_pattern = '^{word}\\.'"))
        .replace("start = 'earliest'", "start = 'latest'");
    let before = Producer::new(broker);
    before.send(&topic("one"), &[Wish::value(0, "before")]);
    scene.place.write_dag("s.toml", &text);
    let server = scene.place.serve();
    scene.wait_until(&server, "reading", |shown| shown["state"] == "reading");
    before.send(&topic("one"), &[Wish::value(0, "a")]);
    assert_eq!(scene.values(1), ["a"]);
    broker.create_topic(&topic("two"), 1, &[]);
    before.send(&topic("two"), &[Wish::value(0, "b")]);
    assert_eq!(scene.values(2), ["a", "b"]);
}

#[test]
fn a_batch_may_hold_all_partitions_and_what_comes_in_a_pause_may_be_passed_over() {
    let scene = Scene::new(
        3,
        "value_format = 'string'\nwindow = '1m'\nmax_messages = 3\nbatch_by = 'trigger'\nwhen_paused = 'skip'",
    );
    let producer = Producer::new(scene.broker);
    let wishes: Vec<Wish> = (0..3).map(|at| Wish::value(at, format!("v{at}"))).collect();
    producer.send(&scene.topic, &wishes);
    let server = scene.place.serve();
    assert_eq!(sorted(&scene.values(3)), ["v0", "v1", "v2"]);
    let runs = wait_for_successes(&server, "s", 1);
    assert_eq!(runs.len(), 1, "{runs:?}");
    let batch = &scene.shown(&server)["batches"][0];
    assert_eq!(
        (&batch["records"], &batch["lane"]),
        (&json!(3), &json!("in: all"))
    );
    scene.place.call(&["triggers", "pause", "s/in"]);
    scene.wait_until(&server, "the pause", |shown| shown["state"] == "paused");
    scene.send(&["not this", "nor this"]);
    scene.place.call(&["triggers", "resume", "s/in"]);
    let shown = scene.wait_until(&server, "the skip", |shown| shown["skipped"] == 2);
    assert_eq!(shown["taken"], 3);
    scene.send(&["w0", "w1", "w2"]);
    let all = sorted(&scene.values(6));
    assert_eq!(all, ["v0", "v1", "v2", "w0", "w1", "w2"]);
}
