//! What the tests of streams share: a DAG that copies what it reads.

use super::support::waiting::{wait_for, whole_lines};
use super::support::{PATIENCE, Place, Server};
use serde_json::Value;
use tidemill_kafka_rig::{Broker, Producer, Wish};

/// A DAG whose one task copies what it read into a journal beside the home.
pub fn dag(broker: &Broker, topic: &str, settings: &str) -> String {
    format!(
        "[triggers.in.kafka]\nbrokers = ['{}']\ntopics = ['{topic}']\nstart = 'earliest'\n{settings}\n\
         [tasks]\ncopy = 'cat \"$TIDEMILL_KAFKA_BATCH\" >> ../../../../journal'\n",
        broker.address()
    )
}

/// The lines that tasks have copied, as JSON.
pub fn journal(place: &Place) -> Vec<Value> {
    let text = whole_lines(&place.folder().join("journal"));
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

pub fn wait_for_lines(place: &Place, n: usize) -> Vec<Value> {
    wait_for(&format!("{n} lines in the journal"), PATIENCE, || {
        Some(journal(place)).filter(|lines| lines.len() >= n)
    })
}

pub fn wait_for_successes(server: &Server, dag: &str, n: usize) -> Vec<Value> {
    wait_for(&format!("{n} runs of {dag} to succeed"), PATIENCE, || {
        let runs = server.runs(dag);
        let good = runs.iter().filter(|run| run["state"] == "success").count();
        (good >= n).then_some(runs)
    })
}

/// A place with one DAG `s` that reads a new topic and copies records to the journal.
pub struct Scene {
    pub broker: &'static Broker,
    pub place: Place,
    pub topic: String,
}

impl Scene {
    /// Without a topic and a DAG.
    pub fn bare(topic: &str) -> Scene {
        Scene {
            broker: Broker::shared(),
            place: Place::new(),
            topic: topic.to_string(),
        }
    }

    pub fn new(n_partitions: i32, settings: &str) -> Scene {
        let (broker, place) = (Broker::shared(), Place::new());
        let topic = broker.new_topic("t", n_partitions);
        let scene = Scene {
            broker,
            place,
            topic,
        };
        scene.write(settings);
        scene
    }

    pub fn write(&self, settings: &str) {
        self.write_for(&self.topic, settings);
    }

    /// The same that reads what stands between the quotes of `topics`: more than one, too.
    pub fn write_for(&self, topics: &str, settings: &str) {
        let journal = self.place.folder().join("journal");
        let text = dag(self.broker, topics, settings);
        let text = text.replace("../../../../journal", &journal.display().to_string());
        self.place.write_dag("s.toml", &text);
    }

    pub fn send(&self, values: &[&str]) {
        let wishes: Vec<Wish> = values.iter().map(|value| Wish::value(0, *value)).collect();
        Producer::new(self.broker).send(&self.topic, &wishes);
    }

    pub fn values(&self, n: usize) -> Vec<Value> {
        let lines = wait_for_lines(&self.place, n);
        lines.iter().map(|line| line["value"].clone()).collect()
    }

    /// The field `n` of the values, in order of size.
    pub fn numbers(&self, n: usize) -> Vec<i64> {
        let values = self.values(n);
        let numbers = values.iter().filter_map(|value| value["n"].as_i64());
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }

    pub fn shown(&self, server: &Server) -> Value {
        server.body("/api/tidemill/v1/dags/s/triggers/in")
    }

    pub fn wait_until(&self, server: &Server, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, PATIENCE, || {
            let (status, shown) = server.get("/api/tidemill/v1/dags/s/triggers/in");
            (status == 200 && is_so(&shown)).then_some(shown)
        })
    }
}
