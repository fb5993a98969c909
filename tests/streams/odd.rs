//! Odd records: without a key, without bytes, very large ones, and poison of each kind.

use super::scene::Scene;
use serde_json::{Value, json};
use tidemill_kafka_rig::{Producer, Wish};

#[test]
fn records_without_a_key_without_bytes_and_of_ten_megabytes_come_whole() {
    let scene = Scene::new(
        1,
        "value_format = 'string'\nwindow = '10ms'\nmax_bytes = '1MiB'\nmode = 'record'",
    );
    let large = "x\u{e9}".repeat(3_500_000);
    assert!(large.len() > 10 << 20);
    let keyed = |key: Option<&[u8]>, value: Option<&str>| Wish {
        partition: Some(0),
        key: key.map(<[u8]>::to_vec),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: vec![
            ("h".to_string(), Some(b"1".to_vec())),
            ("h".to_string(), Some(b"2".to_vec())),
        ],
        ..Wish::default()
    };
    let wishes = [
        keyed(None, Some("no key")),
        keyed(Some(b""), Some("")),
        keyed(Some(b"k"), None),
        keyed(Some(b"k"), Some(&large)),
    ];
    Producer::new(scene.broker).send(&scene.topic, &wishes);
    let _server = scene.place.serve();
    let mut lines = super::scene::wait_for_lines(&scene.place, 4);
    lines.sort_by_key(|line| line["offset"].as_i64());
    let told: Vec<(&Value, bool)> = lines
        .iter()
        .map(|line| (&line["key"], line["tombstone"] == true))
        .collect();
    assert_eq!(
        told,
        [
            (&Value::Null, false),
            (&json!(""), false),
            (&json!("k"), true),
            (&json!("k"), false)
        ]
    );
    assert_eq!(lines[0]["headers"], json!([["h", "1"], ["h", "2"]]));
    assert_eq!(
        (&lines[1]["value"], &lines[2]["value"]),
        (&json!(""), &Value::Null)
    );
    assert!(
        lines[3]["value"] == large.as_str(),
        "ten megabytes are not what they were"
    );
}

#[test]
fn each_kind_of_poison_goes_to_quarantine_under_its_name_and_is_counted() {
    let scene = Scene::new(
        1,
        "filter = '{{ record.value.n == 0 or record.value.n + 1 > 0 }}'\nmax_record_bytes = 1000\ntombstones = 'skip'\nwindow = '10ms'",
    );
    let tombstone = Wish {
        partition: Some(0),
        key: Some(b"k".to_vec()),
        ..Wish::default()
    };
    let value = |value: &[u8]| Wish::value(0, value);
    let large = format!("{{\"n\": 1, \"x\": \"{}\"}}", "x".repeat(2_000));
    let wishes = [
        value(b"{\"n\": 1}"),
        value(b"not JSON"),
        value(b"\xff\xfe"),
        value(b"{\"n\": \"text\"}"),
        value(large.as_bytes()),
        tombstone,
        value(b"{}"),
        value(b"{\"n\": -5}"),
        value(b"{\"n\": 2}"),
    ];
    Producer::new(scene.broker).send(&scene.topic, &wishes);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "all records to be passed", |shown| {
        shown["partitions"][0]["next_offset"] == 9
    });
    let counts = [
        "taken",
        "filtered",
        "missing",
        "skipped",
        "quarantined",
        "deduped",
        "lost",
    ];
    let counts = counts.map(|key| shown[key].as_i64().unwrap());
    println!("taken, filtered, missing, skipped, quarantined, deduped, lost: {counts:?}");
    assert_eq!(counts, [2, 2, 1, 1, 4, 0, 0]);
    let mut held: Vec<(i64, &str, bool)> = shown["quarantine"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let class = one["class"].as_str().unwrap();
            (
                one["offset"].as_i64().unwrap(),
                class,
                one["value_bytes"].is_number(),
            )
        })
        .collect();
    held.sort_unstable();
    assert_eq!(
        held,
        [
            (1, "decode", true),
            (2, "decode", true),
            (3, "filter", true),
            (4, "oversize", false)
        ]
    );
    assert_eq!(scene.values(2), [json!({"n": 1}), json!({"n": 2})]);
}

#[test]
fn a_record_that_cannot_be_read_stops_its_partition_where_the_file_says_so() {
    let scene = Scene::new(2, "on_error = 'block'\nwindow = '10ms'");
    scene.send(&["1", "odd", "3"]);
    Producer::new(scene.broker).send(&scene.topic, &[Wish::value(1, "4")]);
    let server = scene.place.serve();
    let shown = scene.wait_until(&server, "the halt", |shown| shown["state"] == "halted");
    assert!(
        shown["why"].as_str().unwrap().contains("offset 1"),
        "{shown}"
    );
    let mut values: Vec<i64> = scene
        .values(2)
        .iter()
        .map(|one| one.as_i64().unwrap())
        .collect();
    values.sort_unstable();
    assert_eq!(values, [1, 4]);
    scene.place.call_json(&[
        "triggers",
        "seek",
        "s/in",
        "--to-offset",
        "p0=2",
        "-o",
        "json",
    ]);
    assert_eq!(scene.values(3)[2], 3);
}
