//! The range that a task reads, by each way to say it; and those that wait for records of one
//! topic, who share a reader.

use super::support::waiting::wait_for;
use super::support::{PATIENCE, Place, Server, told};
use super::tasks::output;
use serde_json::json;
use std::collections::HashSet;
use tidemill_kafka_rig::{Broker, Producer, Wish};

/// A topic of two partitions with a record for each minute from 2023-11-14T22:13:20Z on: five in
/// the first, named `a0` to `a4`, and of the second `b0` and `b2`.
fn minutes(broker: &Broker) -> String {
    let topic = broker.new_name("minutes");
    broker.create_topic(&topic, 2, &[("retention.ms", "-1")]);
    let wish = |partition: i32, minute: i64| Wish {
        timestamp: Some(1_700_000_000_000 + minute * 60_000),
        ..Wish::value(
            partition,
            format!("{}{minute}", ["a", "b"][partition as usize]),
        )
    };
    let first = (0..5).map(|minute| wish(0, minute));
    let wishes: Vec<Wish> = first.chain([wish(1, 0), wish(1, 2)]).collect();
    Producer::new(broker).send(&topic, &wishes);
    topic
}

/// A DAG with a task for each range.
fn dag(broker: &Broker, topic: &str, ranges: &[(&str, &str)]) -> String {
    let tasks = ranges.iter().enumerate().map(|(at, (range, _))| {
        format!(
            "[tasks.t{at}]\nretries = 0\n[tasks.t{at}.kafka_consume]\nbrokers = ['{}']\ntopics = ['{topic}']\n\
             value_format = 'string'\n{range}\n",
            broker.address()
        )
    });
    let params =
        "[params]\nbegin = '2023-11-14T22:14:20Z'\nend = '2023-11-14T22:16:20Z'\nfirst = 3\n";
    params.to_string() + &tasks.collect::<String>()
}

#[test]
fn a_range_lies_between_instants_or_offsets_that_may_come_of_parameters() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = minutes(broker);
    let ranges = [
        (
            "from = 2023-11-14T22:14:20Z\nto = '2023-11-14T22:16:20Z'",
            "a1 a2 b2",
        ),
        (
            "from = '{{ params.begin }}'\nto = '{{ params.end }}'",
            "a1 a2 b2",
        ),
        // A partition that is not named is left out.
        (
            "from = { offsets = { 0 = 1 } }\nto = { offsets = { 0 = 3 } }",
            "a1 a2",
        ),
        (
            "from = { offsets = { 1 = 1, 0 = '{{ params.first }}' } }",
            "a3 a4 b2",
        ),
        (
            "from = 'earliest'\nto = { offsets = { 0 = 99, 1 = 1 } }",
            "a0 a1 a2 a3 a4 b0",
        ),
        (
            "from = { offsets = { 0 = 2, 1 = 0 } }\nto = 2023-11-14T22:15:20Z",
            "b0",
        ),
        // The first range of a task that has read nothing yet.
        ("to = 2023-11-14T22:14:20Z", "a0 b0"),
        ("from = 2030-01-01T00:00:00Z", ""),
        (
            "from = { offsets = { 0 = 3 } }\nto = { offsets = { 0 = 1 } }",
            "",
        ),
        ("from = { offsets = { 0 = 1 } }\nmax_messages = 2", "a1 a2"),
    ];
    place.write_dag("ranges.toml", &dag(broker, &topic, &ranges));
    let server = place.serve();
    server.wait_for_dag("ranges");
    let run = place.trigger("ranges", &[]);
    let ended = server.wait_for_end("ranges", &run);
    assert_eq!(ended["state"], "success", "{ended}");
    for (at, (range, expected)) in ranges.iter().enumerate() {
        let read = output(&server, "ranges", &run, &format!("t{at}"));
        let records = read["records"].as_array().unwrap();
        let values = records.iter().filter_map(|one| one["value"].as_str());
        let mut values: Vec<&str> = values.collect();
        values.sort_unstable();
        assert_eq!(values.join(" "), *expected, "{range}");
        assert_eq!(read["count"], values.len(), "{range}");
    }
}

#[test]
fn a_range_whose_beginning_is_gone_fails_by_offset_and_is_cut_short_by_instant() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = minutes(broker);
    broker.delete_records(&topic, 0, 2);
    let ranges = [
        ("from = { offsets = { 0 = 1 } }", ""),
        ("from = 2023-11-14T22:13:20Z", "a2 a3 a4 b0 b2"),
        // Nothing of it is there any more, and nothing was asked for that is gone.
        (
            "from = { offsets = { 0 = 1 } }\nto = { offsets = { 0 = 1 } }",
            "",
        ),
    ];
    place.write_dag("gone.toml", &dag(broker, &topic, &ranges));
    let server = place.serve();
    server.wait_for_dag("gone");
    let run = place.trigger("gone", &[]);
    server.wait_for_end("gone", &run);
    assert_eq!(server.task("gone", &run, "t0")["state"], "failed");
    let log = ["tasks", "logs", &format!("gone/{run}"), "t0", "--raw"];
    let log = place.call(&log);
    let why = "records 1 to 1 are gone: the oldest that is kept is 2";
    assert!(told(&log).contains(why), "{}", told(&log));
    for (task, expected) in [("t1", json!(5)), ("t2", json!(0))] {
        assert_eq!(output(&server, "gone", &run, task)["count"], expected);
    }
}

/// Threads of a process by this name.
fn threads(pid: u32, name: &str) -> usize {
    let all = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = all.flatten().filter_map(|one| {
        let name = std::fs::read_to_string(one.path().join("comm")).ok()?;
        Some(name.trim().to_string())
    });
    names.filter(|one| one == name).count()
}

/// Connections of a process to a broker, as the system has them.
fn connections(pid: u32, broker: &Broker) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = files
        .flatten()
        .filter_map(|one| std::fs::read_link(one.path()).ok());
    let sockets: HashSet<String> = targets
        .filter_map(|target| {
            let name = target.to_str()?.strip_prefix("socket:[")?;
            Some(name.strip_suffix(']')?.to_string())
        })
        .collect();
    let address = broker.address();
    let (_, port) = address.rsplit_once(':').unwrap();
    let far_end = format!("0100007F:{:04X}", port.parse::<u16>().unwrap());
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let open = table.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_mine = words.get(9).is_some_and(|inode| sockets.contains(*inode));
        is_mine && words[2] == far_end && words[3] == "01"
    });
    open.count()
}

/// A client has no more: to the broker that it asks first, to that which has the topic, and to that
/// which would have its group.
const CONNECTIONS_OF_A_CLIENT: usize = 3;

#[test]
fn all_that_wait_for_records_of_a_topic_share_one_reader_that_ends_with_the_last_of_them() {
    const N_WAITS: usize = 10;
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.new_topic("shared", 2);
    let waits = (0..N_WAITS).map(|at| {
        format!(
            "[tasks.w{at}.kafka_wait]\nbrokers = ['{}']\ntopics = ['{topic}']\nfilter = '{{{{ record.value.n == {at} }}}}'\n",
            broker.address()
        )
    });
    place.write_dag("waits.toml", &waits.collect::<String>());
    let server = place.serve();
    server.wait_for_dag("waits");
    let pid = server.child.id();
    let is_deferred = |server: &Server, run: &str| {
        let tasks = server.tasks("waits", run);
        tasks.len() == N_WAITS && tasks.iter().all(|task| task["state"] == "deferred")
    };
    // A second run of the DAG shares it too.
    let runs = [(), ()].map(|()| {
        let run = place.trigger("waits", &[]);
        wait_for("all tasks to wait", PATIENCE, || {
            is_deferred(&server, &run).then_some(())
        });
        run
    });
    assert_eq!(threads(pid, "kafka wait"), 1);
    // Each task has asked once where the topic ends, with a client that goes.
    wait_for("the connections of one client", PATIENCE, || {
        (1..=CONNECTIONS_OF_A_CLIENT)
            .contains(&connections(pid, broker))
            .then_some(())
    });
    let wishes = (0..N_WAITS).map(|at| Wish::value((at % 2) as i32, format!("{{\"n\": {at}}}")));
    Producer::new(broker).send(&topic, &wishes.collect::<Vec<_>>());
    for run in &runs {
        assert_eq!(server.wait_for_end("waits", run)["state"], "success");
        for at in 0..N_WAITS {
            let found = output(&server, "waits", run, &format!("w{at}"));
            assert_eq!(found["value"], json!({"n": at}));
        }
    }
    wait_for("the end of the reader", PATIENCE, || {
        let is_gone = threads(pid, "kafka wait") == 0 && connections(pid, broker) == 0;
        is_gone.then_some(())
    });
}
