//! The streams of `streams/` on PostgreSQL, and a worker behind a pooler that reads a topic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "streams/main.rs"]
mod streams;

use streams::support::pooler::PgBouncer;
use streams::support::worker::WorkerProcess;
use streams::support::{Place, http, postgres};
use tidemill_kafka_rig::{Broker, Producer, Wish};

#[test]
fn workers_behind_a_pooler_that_keeps_no_sessions_read_ranges_of_topics() {
    let (broker, place) = (Broker::shared(), Place::new());
    let topic = broker.new_topic("pooled", 2);
    let records = (0..6).map(|n| Wish::value(n % 2, format!("{n}")));
    Producer::new(broker).send(&topic, &records.collect::<Vec<_>>());
    let tasks = (0..4).map(|n| {
        format!(
            "[tasks.t{n}.kafka_consume]\nbrokers = ['{}']\ntopics = ['{topic}']\n",
            broker.address()
        )
    });
    let text = format!(
        "[default_args]\nqueue = 'far'\n{}",
        tasks.collect::<String>()
    );
    place.write_dag("reads.toml", &text);
    let server = place.serve();
    server.wait_for_dag("reads");
    let name = place.database().unwrap().split(['/', '?']).nth(3).unwrap();
    let pooler = PgBouncer::start(postgres::Server::shared());
    // Two, so that their transactions do change sessions.
    let [one, two] = [(), ()].map(|()| {
        let beside = place.beside_at(Some(pooler.url(name)));
        WorkerProcess::start_in(beside, &["--queues", "far", "--no-notify", "--slots", "2"])
    });
    for _ in 0..3 {
        let run = place.trigger("reads", &[]);
        let ended = server.wait_for_end("reads", &run);
        let said = || format!("{}{}{}", one.log(), two.log(), pooler.log());
        assert_eq!(ended["state"], "success", "{}", said());
        for n in 0..4 {
            let path = format!(
                "/api/v2/dags/reads/dagRuns/{}/taskInstances/t{n}",
                http::escape(&run)
            );
            assert_eq!(server.body(&path)["try_number"], 1, "{}", said());
        }
    }
    for log in [one.log(), two.log()] {
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    }
}
