//! Streams in `/metrics`: how far each partition is, and what became of its records.

use crate::daemon::clock;
use crate::daemon::database::Database;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde_json::Value;
use std::sync::atomic::AtomicU64;
use tidemill_model::Ts;
use tidemill_store::{Counts, Cursor, LIVE, StoreError, StreamDoor, StreamWish};

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;
type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;

/// All metrics of streams.
#[derive(Default)]
struct Metrics {
    state: Gauges,
    commits: Family<Labels, Counter>,
    fenced: Family<Labels, Counter>,
    commit_time: Family<Labels, Counter<f64, AtomicU64>>,
    decode_time: Family<Labels, Counter<f64, AtomicU64>>,
    next: Gauges,
    end: Gauges,
    last: Gauges,
    lag: Gauges,
    caught_up: Gauges,
    age: Seconds,
    to_loss: Seconds,
    halted: Gauges,
    records: Family<Labels, Counter>,
}

/// Adds the streams as they are now. What only their reader knows is left out where nobody reads.
///
/// # Errors
/// When the database cannot be asked.
pub async fn register(
    registry: &mut Registry,
    database: &Database,
    door: &StreamDoor,
) -> Result<(), StoreError> {
    let metrics = Metrics::default();
    let live = door(StreamWish::Status).await.unwrap_or_default();
    let now = clock::now();
    for trigger in database.streams.triggers().await? {
        let of_trigger = vec![
            ("dag_id", trigger.dag_id.clone()),
            ("trigger", trigger.name.clone()),
        ];
        let mut all = live.as_array().into_iter().flatten();
        let told = all.find(|told| {
            told["dag"] == trigger.dag.0
                && told["trigger"] == trigger.name.as_str()
                && told["replay"] == LIVE
        });
        let told = told.unwrap_or(&Value::Null);
        metrics.trigger(&of_trigger, told);
        for cursor in database.streams.cursors(trigger.trigger, LIVE).await? {
            metrics.partition(&of_trigger, &cursor, told, now);
        }
    }
    metrics.register(registry);
    Ok(())
}

impl Metrics {
    fn trigger(&self, labels: &Labels, told: &Value) {
        let Some(state) = told["state"].as_str() else {
            return;
        };
        let mut of_state = labels.clone();
        of_state.push(("state", state.to_string()));
        self.state.get_or_create(&of_state).set(1);
        let count = |name: &str| told[name].as_u64().unwrap_or(0);
        let seconds = |name: &str| count(name) as f64 / 1e6;
        self.commits
            .get_or_create(labels)
            .inc_by(count("n_commits"));
        self.fenced.get_or_create(labels).inc_by(count("n_fenced"));
        self.commit_time
            .get_or_create(labels)
            .inc_by(seconds("commit_us"));
        self.decode_time
            .get_or_create(labels)
            .inc_by(seconds("decode_us"));
    }

    fn partition(&self, of_trigger: &Labels, cursor: &Cursor, told: &Value, now: Ts) {
        let place = &cursor.partition;
        let mut labels = of_trigger.clone();
        labels.push(("topic", place.topic.clone()));
        labels.push(("partition", place.partition.to_string()));
        let labels = &labels;
        self.next.get_or_create(labels).set(cursor.next_offset);
        self.halted
            .get_or_create(labels)
            .set(i64::from(cursor.halted.is_some()));
        for (fate, n) in fates(&cursor.counts) {
            let mut labels = labels.clone();
            labels.push(("fate", fate.to_string()));
            self.records
                .get_or_create(&labels)
                .inc_by(u64::try_from(n).unwrap_or(0));
        }
        let mut all = told["partitions"].as_array().into_iter().flatten();
        let seen = all.find(|one| {
            one["topic"] == place.topic.as_str() && one["partition"] == place.partition
        });
        if let Some(seen) = seen {
            self.seen(labels, cursor, seen, now);
        }
    }

    /// What only the reader knows.
    fn seen(&self, labels: &Labels, cursor: &Cursor, seen: &Value, now: Ts) {
        let is_caught_up = seen["is_caught_up"] == true;
        self.caught_up
            .get_or_create(labels)
            .set(i64::from(is_caught_up));
        if let Some(high) = seen["high"].as_i64() {
            let behind = match is_caught_up {
                true => 0,
                false => high - cursor.next_offset,
            };
            self.end.get_or_create(labels).set(high);
            self.lag.get_or_create(labels).set(behind.max(0));
        }
        if let Some(last) = seen["last"].as_i64() {
            self.last.get_or_create(labels).set(last);
        }
        let instant = |name: &str| serde_json::from_value::<Ts>(seen[name].clone()).ok();
        let since = |at: Ts| (now.0 - at.0) as f64 / 1e6;
        let age = match is_caught_up {
            true => Some(0.0),
            false => instant("unread_since").map(|at| since(at).max(0.0)),
        };
        if let Some(age) = age {
            self.age.get_or_create(labels).set(age);
        }
        if let Some(until) = instant("kept_until") {
            self.to_loss.get_or_create(labels).set(-since(until));
        }
    }

    fn register(self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, gauges: Gauges| {
            registry.register(format!("tidemill_stream_{name}"), help, gauges);
        };
        add("state", "1 for the state that a stream is in", self.state);
        add("next_offset", "The next offset that is read", self.next);
        add(
            "end_offset",
            "The end of what can be read: the last stable offset for readers of committed records",
            self.end,
        );
        add(
            "high_watermark",
            "The end of the partition with what open transactions have written",
            self.last,
        );
        add("lag", "Offsets between the next and the end", self.lag);
        add(
            "caught_up",
            "1 where all has been read: markers of transactions have offsets too",
            self.caught_up,
        );
        add(
            "halted",
            "1 where a person must say where to go on",
            self.halted,
        );
        let mut add = |name: &str, help: &str, seconds: Seconds| {
            registry.register_with_unit(
                format!("tidemill_stream_{name}"),
                help,
                Unit::Seconds,
                seconds,
            );
        };
        add(
            "oldest_unprocessed_age",
            "The age of the oldest record that is in no run yet, at the most; 0 where all is read",
            self.age,
        );
        add(
            "time_to_retention_loss",
            "Until the oldest record that is in no run yet is as old as the topic keeps records",
            self.to_loss,
        );
        registry.register(
            "tidemill_stream_records",
            "What became of the records that were read",
            self.records,
        );
        registry.register(
            "tidemill_stream_commits",
            "Commits of runs and offsets",
            self.commits,
        );
        registry.register(
            "tidemill_stream_fenced",
            "Commits that found their cursor elsewhere and wrote nothing",
            self.fenced,
        );
        registry.register_with_unit(
            "tidemill_stream_commit_time",
            "How long commits took, added up",
            Unit::Seconds,
            self.commit_time,
        );
        registry.register_with_unit(
            "tidemill_stream_decode_time",
            "How long decoding and filtering took, added up",
            Unit::Seconds,
            self.decode_time,
        );
    }
}

fn fates(counts: &Counts) -> [(&'static str, i64); 7] {
    [
        ("taken", counts.taken),
        ("filtered", counts.filtered),
        ("missing", counts.missing),
        ("skipped", counts.skipped),
        ("quarantined", counts.quarantined),
        ("deduped", counts.deduped),
        ("lost", counts.lost),
    ]
}
