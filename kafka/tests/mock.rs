//! Brokers that answer with errors, as scripted: librdkafka's own mock cluster. What is read is
//! read once all the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tidemill_kafka::{Login, Ports, Source, SourceSpec};
use tidemill_model::trigger::*;
use tidemill_model::{DagNo, Trigger, Ts};
use tidemill_store::memory::MemoryStore;
use tidemill_store::{EngineStore, LIVE, NewStreamRun, NewVersion, StoredVersion, StreamStore};

const TOPIC: &str = "scripted";
const PATIENCE: Duration = Duration::from_secs(60);

fn trigger() -> Trigger {
    Trigger {
        name: "in".to_string(),
        is_enabled: true,
        params: Vec::new(),
        run_id: None,
        kafka: KafkaTrigger {
            start: Start::Earliest,
            max_messages: 7,
            window: Duration::from_millis(10),
            value_format: Format::String,
            config: [
                ("topic.metadata.refresh.interval.ms", "200"),
                ("reconnect.backoff.max.ms", "200"),
                ("retry.backoff.max.ms", "200"),
            ]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .to_vec(),
            ..KafkaTrigger::new(Cluster::Brokers(Vec::new()), vec![TOPIC.to_string()])
        },
    }
}

struct Scene {
    /// It goes before its brokers do.
    source: Source,
    cluster: MockCluster<'static, DefaultProducerContext>,
    store: Arc<MemoryStore>,
    made: Arc<Mutex<Vec<NewStreamRun>>>,
    dag: DagNo,
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new() -> Scene {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic(TOPIC, 2, 2).unwrap();
        let store = Arc::new(MemoryStore::new());
        let term = runtime.block_on(store.take_term("mock", Ts(1))).unwrap();
        let version = NewVersion {
            dag_id: "s".to_string(),
            file: "s.toml".to_string(),
            hash: "h".to_string(),
            source: String::new(),
            files: Vec::new(),
            task_ids: vec!["t".to_string()],
            paused_if_new: false,
            now: Ts(1),
        };
        let kept: StoredVersion = runtime.block_on(store.put_version(&version)).unwrap();
        let made = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&made);
        let address = cluster.bootstrap_servers();
        let brokers: Vec<String> = address.split(',').map(str::to_string).collect();
        let ports = Ports {
            store: Arc::<MemoryStore>::clone(&store),
            runtime: runtime.handle().clone(),
            run_numbers: Arc::new(AtomicI64::new(0)),
            conf: Box::new(|_| json!({})),
            name: Box::new(|_| None),
            made: Box::new(move |runs| taken.lock().unwrap().extend(runs)),
            login: Arc::new(move || Ok(Login::open(&brokers))),
            now: || Ts(5),
        };
        let spec = SourceSpec {
            dag: kept.dag.dag,
            dag_id: "s".to_string(),
            version: kept.version,
            trigger: Arc::new(trigger()),
            is_one_of_many: false,
            replay: LIVE,
            term,
            open_runs_high: 1_000_000,
            open_runs_low: 1_000_000,
        };
        Scene {
            source: Source::start(spec, ports, false).unwrap(),
            dag: kept.dag.dag,
            cluster,
            store,
            made,
            _runtime: runtime,
        }
    }

    fn send(&self, values: std::ops::Range<usize>) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("topic.metadata.refresh.interval.ms", "200")
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .unwrap();
        for at in values {
            let value = at.to_string();
            let record = BaseRecord::<(), String>::to(TOPIC)
                .partition((at % 2) as i32)
                .payload(&value);
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// The values in runs, once there are so many.
    fn values(&self, n: usize) -> Vec<String> {
        let begin = Instant::now();
        loop {
            let values: Vec<String> = self
                .made
                .lock()
                .unwrap()
                .iter()
                .flat_map(|run| {
                    let text = String::from_utf8(run.records.clone()).unwrap();
                    let lines = text.lines().map(|line| {
                        let line: serde_json::Value = serde_json::from_str(line).unwrap();
                        line["value"].as_str().unwrap().to_string()
                    });
                    lines.collect::<Vec<_>>()
                })
                .collect();
            if values.len() >= n {
                return values;
            }
            let status = self.source.status();
            assert!(
                begin.elapsed() < PATIENCE,
                "{} of {n} values: {status:?}",
                values.len()
            );
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Each value once, in the order of its partition.
    fn check(&self, n: usize) {
        let values = self.values(n);
        assert_eq!(values.len(), n);
        for partition in 0..2 {
            let of_it = values.iter().map(|value| value.parse::<usize>().unwrap());
            let of_it: Vec<usize> = of_it.filter(|at| at % 2 == partition).collect();
            let expected: Vec<usize> = (0..n).filter(|at| at % 2 == partition).collect();
            assert_eq!(of_it, expected);
        }
        let asked = self
            ._runtime
            .block_on(self.store.put_trigger(self.dag, "in", Ts(5)));
        let trigger = asked.unwrap().trigger;
        let cursors = self
            ._runtime
            .block_on(self.store.cursors(trigger, LIVE))
            .unwrap();
        let taken: i64 = cursors.iter().map(|cursor| cursor.counts.taken).sum();
        assert_eq!(taken, n as i64);
    }
}

#[test]
fn answers_that_are_errors_cost_time_and_no_record() {
    use RDKafkaRespErr as E;
    let scene = Scene::new();
    scene.send(0..20);
    scene.check(20);
    let errors = [
        E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        E::RD_KAFKA_RESP_ERR__TRANSPORT,
        E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        E::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        E::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    ];
    scene.cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
    scene.send(20..60);
    scene.check(60);
    scene
        .cluster
        .request_errors(RDKafkaApiKey::Metadata, &errors);
    scene
        .cluster
        .request_errors(RDKafkaApiKey::ListOffsets, &errors[1..]);
    scene.send(60..80);
    scene.check(80);
}

#[test]
fn a_leader_that_moves_and_a_broker_that_goes_and_comes_cost_no_record() {
    let scene = Scene::new();
    scene.send(0..20);
    scene.check(20);
    for (partition, leader) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
        scene
            .cluster
            .partition_leader(TOPIC, partition, Some(leader))
            .unwrap();
    }
    scene.send(20..40);
    scene.check(40);
    scene.cluster.broker_down(1).unwrap();
    scene.cluster.partition_leader(TOPIC, 0, Some(2)).unwrap();
    scene.cluster.partition_leader(TOPIC, 1, Some(2)).unwrap();
    scene.send(40..60);
    scene.check(60);
    scene.cluster.broker_up(1).unwrap();
    scene.cluster.broker_down(2).unwrap();
    scene.cluster.partition_leader(TOPIC, 0, Some(1)).unwrap();
    scene.cluster.partition_leader(TOPIC, 1, Some(1)).unwrap();
    scene.send(60..80);
    scene.check(80);
}
