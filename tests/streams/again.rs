//! Reading on elsewhere: at an instant, in one of several topics, and beside what is read.

use super::scene::Scene;
use super::support::{Server, told};
use serde_json::{Value, json};
use tidemill_kafka_rig::{Broker, Producer, Wish};

/// 2023-11-14T22:13:20Z.
const LONG_AGO: i64 = 1_700_000_000_000;
/// Two minutes later.
const BETWEEN: &str = "2023-11-14T22:15:20Z";

/// A value of some minutes after then.
fn old(minutes: i64, value: &str) -> Wish {
    Wish {
        timestamp: Some(LONG_AGO + minutes * 60_000),
        ..Wish::value(0, value)
    }
}

/// A topic that keeps what is old.
fn lasting(broker: &Broker, word: &str) -> String {
    let topic = broker.new_name(word);
    broker.create_topic(&topic, 1, &[("retention.ms", "-1")]);
    topic
}

fn pause(scene: &Scene, server: &Server) {
    let paused = scene.place.call(&["triggers", "pause", "s/in"]);
    assert!(paused.status.success(), "{}", told(&paused));
    scene.wait_until(server, "the pause", |shown| shown["state"] == "paused");
}

fn resume(scene: &Scene) {
    let resumed = scene.place.call(&["triggers", "resume", "s/in"]);
    assert!(resumed.status.success(), "{}", told(&resumed));
}

/// Seeks, and gives for each topic where its partition was read on, where it will be, and how many
/// records come again.
fn seek(scene: &Scene, args: &[&str]) -> Vec<(String, i64, i64, i64)> {
    let args = [&["triggers", "seek", "s/in", "-o", "json"][..], args].concat();
    let found = scene.place.call_json(&args);
    let partitions = found["partitions"].as_array().unwrap().iter().map(|one| {
        let number = |name: &str| one[name].as_i64().unwrap();
        let topic = one["topic"].as_str().unwrap().to_string();
        (topic, number("from"), number("to"), number("again"))
    });
    let mut partitions: Vec<_> = partitions.collect();
    partitions.sort();
    partitions
}

fn next_offset(scene: &Scene, server: &Server) -> Value {
    scene.shown(server)["partitions"][0]["next_offset"].clone()
}

#[test]
fn reading_goes_on_at_an_instant_and_a_dry_run_says_how_much_comes_again_and_moves_nothing() {
    let broker = Broker::shared();
    let scene = Scene::bare(&lasting(broker, "instant"));
    let wishes = [old(0, "a"), old(1, "b"), old(3, "c"), old(4, "d")];
    Producer::new(broker).send(&scene.topic, &wishes);
    scene.write("value_format = 'string'\nwindow = '10ms'");
    let server = scene.place.serve();
    assert_eq!(scene.values(4), ["a", "b", "c", "d"]);
    pause(&scene, &server);
    let back = vec![(scene.topic.clone(), 4, 2, 2)];
    assert_eq!(seek(&scene, &["--to-time", BETWEEN, "--dry-run"]), back);
    assert_eq!(next_offset(&scene, &server), 4, "a dry run moves nothing");
    // Where nothing is as new, reading goes on at the end.
    let stays = vec![(scene.topic.clone(), 4, 4, 0)];
    let later = ["--to-time", "2200-01-01T00:00:00Z", "--dry-run"];
    assert_eq!(seek(&scene, &later), stays);
    let odd = ["triggers", "seek", "s/in", "--to-time", "tomorrow"];
    let odd = scene.place.call(&odd);
    assert!(!odd.status.success(), "{}", told(&odd));
    assert_eq!(seek(&scene, &["--to-time", BETWEEN]), back);
    assert_eq!(next_offset(&scene, &server), 2);
    resume(&scene);
    assert_eq!(scene.values(6)[4..], ["c", "d"]);
    scene.wait_until(&server, "the end", |shown| {
        shown["partitions"][0]["next_offset"] == 4
    });
    assert_eq!(scene.values(6).len(), 6);
}

/// A scene whose trigger reads two topics: the first has records of minutes 0, 1 and 3, the second
/// of 0 and 4. All of them have been read.
fn two_topics(word: &str) -> (Scene, Server, String) {
    let broker = Broker::shared();
    // In the order in which they are told of.
    let (one, two) = (format!("{word}-a"), format!("{word}-b"));
    let (one, two) = (lasting(broker, &one), lasting(broker, &two));
    let scene = Scene::bare(&one);
    let topics = format!("{one}', '{two}");
    scene.write_for(&topics, "value_format = 'string'\nwindow = '10ms'");
    let producer = Producer::new(broker);
    producer.send(&one, &[old(0, "a0"), old(1, "a1"), old(3, "a2")]);
    producer.send(&two, &[old(0, "b0"), old(4, "b1")]);
    let server = scene.place.serve();
    scene.values(5);
    scene.wait_until(&server, "all to be stored", |shown| shown["taken"] == 5);
    (scene, server, two)
}

#[test]
fn of_several_topics_each_is_moved_by_its_name_and_a_number_alone_is_refused() {
    let (scene, server, two) = two_topics("several");
    let one = scene.topic.clone();
    pause(&scene, &server);
    let places = |a: i64, b: i64| vec![(one.clone(), 3, a, 3 - a), (two.clone(), 2, b, 2 - b)];
    // Each topic has its own offset for an instant.
    assert_eq!(
        seek(&scene, &["--to-time", BETWEEN, "--dry-run"]),
        places(2, 1)
    );
    assert_eq!(seek(&scene, &["--earliest", "--dry-run"]), places(0, 0));
    let refused = |offsets: &str, why: &str| {
        let args = ["triggers", "seek", "s/in", "--to-offset", offsets];
        let refused = scene.place.call(&args);
        assert_eq!(refused.status.code(), Some(5), "{}", told(&refused));
        assert!(told(&refused).contains(why), "{}", told(&refused));
    };
    refused("p0=1", &format!("say {one}/0 or {two}/0"));
    refused(&format!("{two}/7=0"), &format!("no partition {two}/7"));
    refused(&format!("{two}/0=3"), "has records 0 to 2, and not 3");
    let of_one = format!("{one}/0=1");
    let dry = seek(&scene, &["--to-offset", &of_one, "--dry-run"]);
    assert_eq!(dry, places(1, 2));
    assert_eq!(scene.shown(&server)["taken"], 5);
    let of_both = format!("{one}/p0=2,{two}/0=1");
    assert_eq!(seek(&scene, &["--to-offset", &of_both]), places(2, 1));
    resume(&scene);
    let mut values: Vec<String> = scene.values(7)[5..].iter().map(Value::to_string).collect();
    values.sort();
    assert_eq!(values, ["\"a2\"", "\"b1\""]);
}

#[test]
fn a_replay_of_several_topics_reads_those_that_are_named() {
    let (scene, _server, _) = two_topics("replayed");
    let one = &scene.topic;
    let (from, to) = (format!("{one}/0=0"), format!("{one}/0=2"));
    let range = ["--from", &from, "--to", &to, "--dry-run", "-o", "json"];
    let told_dry = scene
        .place
        .call_json(&[&["triggers", "replay", "s/in"][..], &range[..]].concat());
    assert_eq!(told_dry["records"], 2, "{told_dry}");
    assert_eq!(told_dry["partitions"].as_array().unwrap().len(), 1);
    let vague = [
        "triggers", "replay", "s/in", "--from", "p0=0", "--to", "latest",
    ];
    let vague = scene.place.call(&vague);
    assert_eq!(vague.status.code(), Some(5), "{}", told(&vague));
}

/// Has a range read again to its end, and gives how many records runs were made of.
fn replay(scene: &Scene, server: &Server, from: &str) -> i64 {
    let args = ["--from", from, "--to", "latest", "-o", "json"];
    let begun = scene
        .place
        .call_json(&[&["triggers", "replay", "s/in"][..], &args[..]].concat());
    let shown = scene.wait_until(server, "the end of the replay", |shown| {
        let newest = &shown["replays"][0];
        newest["replay"] == begun["replay"] && newest["state"] == "done"
    });
    shown["replays"][0]["taken"].as_i64().unwrap()
}

#[test]
fn a_replay_makes_no_record_a_double_that_the_live_reading_has_still_before_it() {
    let settings = "window = '10ms'\ndedupe = { key = '{{ record.value.id }}', ttl = '24h' }";
    let scene = Scene::new(1, settings);
    let server = scene.place.serve();
    scene.wait_until(&server, "reading", |shown| shown["state"] == "reading");
    pause(&scene, &server);
    let record = |id: i64, n: i64| format!("{{\"id\": {id}, \"n\": {n}}}");
    scene.send(&[&record(1, 0), &record(1, 1), &record(2, 2), &record(2, 3)]);
    // Ahead of the live reading, from the second record on: of each key the first that it meets.
    assert_eq!(replay(&scene, &server, "1"), 2);
    resume(&scene);
    let shown = scene.wait_until(&server, "all to be read", |shown| {
        shown["partitions"][0]["next_offset"] == 4
    });
    assert_eq!((&shown["taken"], &shown["deduped"]), (&json!(2), &json!(2)));
    assert_eq!(scene.numbers(4), [0, 1, 2, 2]);
    // Behind it, a replay passes over what the live reading has passed over.
    assert_eq!(replay(&scene, &server, "0"), 2);
    assert_eq!(replay(&scene, &server, "1"), 1);
}
