//! A compacted topic: records that later ones of their key have replaced are gone, and their
//! offsets are gaps that no reader may take for a loss.

use super::scene::Scene;
use super::support::waiting::wait_for;
use super::support::{PATIENCE, told};
use serde_json::{Value, json};
use tidemill_kafka_rig::{Broker, Producer, Wish};

/// The offsets that are left of the topic, and what stands there.
const LEFT: [(i64, &str); 5] = [
    (4, "alone"),
    (27, "a 27"),
    (28, "b 28"),
    (29, "c 29"),
    (30, "end"),
];

/// A topic of three segments, of which the broker has compacted all but the last.
fn compacted(scene: &Scene) {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    scene.broker.create_topic(&scene.topic, 1, &settings);
    // Segments are cut by the timestamps of their records: no test needs to wait for them.
    let begin = 1_700_000_000_000;
    let wish = |at: i64| {
        let letter = ["a", "b", "c"][(at % 3) as usize];
        let (key, value) = match at {
            4 => ("alone", "alone".to_string()),
            30 => ("end", "end".to_string()),
            _ => (letter, format!("{letter} {at}")),
        };
        let segment = at / 15;
        Wish {
            key: Some(key.into()),
            timestamp: Some(begin + segment * 10_000),
            ..Wish::value(0, value)
        }
    };
    let producer = Producer::new(scene.broker);
    for segment in [0..15, 15..30, 30..31] {
        producer.send(&scene.topic, &segment.map(wish).collect::<Vec<_>>());
    }
    let left = LEFT.map(|(offset, _)| offset);
    wait_for("the broker to compact the topic", PATIENCE * 2, || {
        (scene.broker.offsets(&scene.topic, 0) == left).then_some(())
    });
}

#[test]
fn offsets_that_were_compacted_away_are_passed_and_are_neither_a_loss_nor_a_lag() {
    let scene = Scene::bare(&Broker::shared().new_name("compacted"));
    compacted(&scene);
    scene.write("value_format = 'string'\nwindow = '10ms'\nmax_messages = 2");
    let server = scene.place.serve();
    let values = LEFT.map(|(_, value)| value);
    assert_eq!(scene.values(5), values);
    let is_read = |n_taken: i64| {
        move |shown: &Value| {
            let partition = &shown["partitions"][0];
            shown["taken"] == n_taken && partition["caught_up"] == true && shown["lag"] == 0
        }
    };
    let shown = scene.wait_until(&server, "all to be read", is_read(5));
    assert_eq!(shown["partitions"][0]["next_offset"], 31);
    assert_eq!((&shown["lost"], &shown["gaps"]), (&json!(0), &json!([])));
    // A person may go on at an offset that is gone; what comes after it is read.
    let call = |args: &[&str]| {
        let done = scene.place.call(args);
        assert!(done.status.success(), "{}", told(&done));
    };
    call(&["triggers", "pause", "s/in"]);
    scene.wait_until(&server, "the pause", |shown| shown["state"] == "paused");
    call(&["triggers", "seek", "s/in", "--to-offset", "p0=10"]);
    call(&["triggers", "resume", "s/in"]);
    assert_eq!(scene.values(9)[5..], values[1..]);
    let shown = scene.wait_until(&server, "the end again", is_read(9));
    assert_eq!((&shown["lost"], &shown["gaps"]), (&json!(0), &json!([])));
    // Ranges end where nothing is left of them, and inside of a gap.
    for (at, (from, to, n_taken)) in [("5", "20", 0), ("0", "28", 2)].into_iter().enumerate() {
        call(&["triggers", "replay", "s/in", "--from", from, "--to", to]);
        let shown = scene.wait_until(&server, "the end of the replay", |shown| {
            let all = shown["replays"].as_array();
            all.is_some_and(|all| {
                all.len() == at + 1 && all.iter().all(|one| one["state"] == "done")
            })
        });
        let newest = &shown["replays"][0];
        assert_eq!(
            (&newest["taken"], &newest["left"]),
            (&json!(n_taken), &json!(0))
        );
        assert_eq!(shown["lost"], 0);
    }
    assert_eq!(scene.values(11)[9..], values[..2]);
    assert_eq!(scene.values(11).len(), 11);
}
