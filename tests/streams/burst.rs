//! Many records at once: all of them in runs, in order, within the memory that is promised.

use super::scene::{Scene, dag};
use super::support::PATIENCE;
use super::support::waiting::{wait_for, whole_lines};
use std::collections::BTreeMap;
use tidemill_kafka_rig::{Producer, Wish};

const PARTITIONS: i32 = 4;

/// `TIDEMILL_BURST=1000000` is the long form.
fn size() -> usize {
    let given = std::env::var("TIDEMILL_BURST").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// The most memory that a process has held, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_burst_stays_within_its_memory_and_loses_nothing() {
    let n = size();
    let scene = Scene::new(PARTITIONS, "");
    let settings =
        "value_format = 'string'\nmax_messages = 2000\nmax_bytes = '8MiB'\nwindow = '1s'";
    let counts = scene.place.folder().join("counts");
    let text = dag(scene.broker, &scene.topic, settings);
    let (head, _) = text.split_once("[tasks]").unwrap();
    // Each run says how many records it had, and between which offsets of which partition.
    let task = format!(
        "[dag]\nmax_active_runs = 4\n{head}[tasks]\ncount = 'echo \"$TIDEMILL_KAFKA_PARTITION $TIDEMILL_KAFKA_FIRST_OFFSET \
         $TIDEMILL_KAFKA_LAST_OFFSET $(wc -l < \"$TIDEMILL_KAFKA_BATCH\")\" >> {}'\n",
        counts.display()
    );
    scene.place.write_dag("s.toml", &task);
    let server = scene.place.serve();
    let producer = Producer::new(scene.broker);
    let numbers: Vec<usize> = (0..n).collect();
    for part in numbers.chunks(20_000) {
        let wishes: Vec<Wish> = part
            .iter()
            .map(|at| {
                Wish::value(
                    (at % PARTITIONS as usize) as i32,
                    format!("record {at} {}", "x".repeat(100)),
                )
            })
            .collect();
        producer.send(&scene.topic, &wishes);
    }
    let read = || -> Vec<[i64; 4]> {
        let text = whole_lines(&counts);
        let lines = text.lines().map(|line| {
            let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
            std::array::from_fn(|_| words.next().unwrap())
        });
        lines.collect()
    };
    wait_for("all records to be in runs", PATIENCE * 10, || {
        (read().iter().map(|run| run[3]).sum::<i64>() >= n as i64).then_some(())
    });
    let mut next: BTreeMap<i64, i64> = BTreeMap::new();
    for [partition, first, last, count] in read() {
        let expected = next.entry(partition).or_default();
        assert_eq!(
            (first, count),
            (*expected, last - first + 1),
            "partition {partition}"
        );
        *expected = last + 1;
    }
    assert_eq!(next.values().sum::<i64>(), n as i64);
    let peak = peak_kib(server.child.id());
    let bound = (200 << 10) + PARTITIONS as u64 * (4 << 10) + 2 * (8 << 10);
    println!(
        "{n} records in {} runs; {} MiB of {} MiB",
        read().len(),
        peak >> 10,
        bound >> 10
    );
    assert!(peak <= bound, "{peak} KiB, and {bound} KiB are promised");
}

#[test]
fn records_of_a_key_are_worked_on_in_their_order_by_eight_at_once() {
    let scene = Scene::new(3, "");
    let journal = scene.place.folder().join("order");
    let settings = "value_format = 'string'\nmode = 'record'\nordering = 'key'";
    let text = dag(scene.broker, &scene.topic, settings);
    let (head, _) = text.split_once("[tasks]").unwrap();
    let task = format!(
        "[dag]\nmax_active_runs = 8\n[params]\nkey = ''\nvalue = ''\n{head}\
         [triggers.in]\nparams = {{ key = '{{{{ trigger.first.key }}}}', value = '{{{{ trigger.first.value }}}}' }}\n\
         [tasks]\nnote = 'echo \"begin $TIDEMILL_PARAM_KEY $TIDEMILL_PARAM_VALUE\" >> {0}; echo \"end $TIDEMILL_PARAM_KEY $TIDEMILL_PARAM_VALUE\" >> {0}'\n",
        journal.display()
    );
    scene.place.write_dag("s.toml", &task);
    const KEYS: usize = 10;
    const EACH: usize = 8;
    let wishes: Vec<Wish> = (0..KEYS * EACH)
        .map(|at| Wish {
            key: Some(format!("k{}", at % KEYS).into_bytes()),
            value: Some(format!("{}", at / KEYS).into_bytes()),
            ..Wish::default()
        })
        .collect();
    Producer::new(scene.broker).send(&scene.topic, &wishes);
    let _server = scene.place.serve();
    let lines = || {
        let text = whole_lines(&journal);
        text.lines().map(str::to_string).collect::<Vec<_>>()
    };
    wait_for("all records", PATIENCE * 2, || {
        (lines().len() >= 2 * KEYS * EACH).then_some(())
    });
    let mut of_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let told = format!("{} {}", words[0], words[2]);
        of_key.entry(words[1].to_string()).or_default().push(told);
    }
    let expected: Vec<String> = (0..EACH)
        .flat_map(|at| [format!("begin {at}"), format!("end {at}")])
        .collect();
    assert_eq!(of_key.len(), KEYS);
    for (key, told) in of_key {
        assert_eq!(told, expected, "{key}");
    }
}
