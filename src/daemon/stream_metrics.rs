//! Streams in `/metrics`: how far each partition is, and what became of its records.

use crate::daemon::database::Database;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tidemill_store::{Counts, LIVE, StoreError, StreamDoor, StreamWish};

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;

/// Adds the streams as they are now. What only their reader knows is left out where nobody reads.
///
/// # Errors
/// When the database cannot be asked.
pub async fn register(
    registry: &mut Registry,
    database: &Database,
    door: &StreamDoor,
) -> Result<(), StoreError> {
    let (next, records) = (Gauges::default(), Family::<Labels, Counter>::default());
    let (lag, caught_up) = (Gauges::default(), Gauges::default());
    let reading = Gauges::default();
    let live = door(StreamWish::Status).await.unwrap_or_default();
    for trigger in database.streams.triggers().await? {
        let of_trigger = vec![
            ("dag_id", trigger.dag_id.clone()),
            ("trigger", trigger.name.clone()),
        ];
        let mut all = live.as_array().into_iter().flatten();
        let now = all.find(|now| {
            now["dag"] == trigger.dag.0
                && now["trigger"] == trigger.name.as_str()
                && now["replay"] == LIVE
        });
        let now = now.unwrap_or(&Value::Null);
        if let Some(state) = now["state"].as_str() {
            let mut labels = of_trigger.clone();
            labels.push(("state", state.to_string()));
            reading.get_or_create(&labels).set(1);
        }
        for cursor in database.streams.cursors(trigger.trigger, LIVE).await? {
            let place = &cursor.partition;
            let mut labels = of_trigger.clone();
            labels.push(("topic", place.topic.clone()));
            labels.push(("partition", place.partition.to_string()));
            next.get_or_create(&labels).set(cursor.next_offset);
            for (fate, n) in fates(&cursor.counts) {
                let mut labels = labels.clone();
                labels.push(("fate", fate.to_string()));
                records
                    .get_or_create(&labels)
                    .inc_by(u64::try_from(n).unwrap_or(0));
            }
            let mut all = now["partitions"].as_array().into_iter().flatten();
            let seen = all.find(|one| {
                one["topic"] == place.topic.as_str() && one["partition"] == place.partition
            });
            let Some(seen) = seen else { continue };
            let is_caught_up = seen["is_caught_up"] == true;
            caught_up
                .get_or_create(&labels)
                .set(i64::from(is_caught_up));
            if let Some(high) = seen["high"].as_i64() {
                let behind = if is_caught_up {
                    0
                } else {
                    high - cursor.next_offset
                };
                lag.get_or_create(&labels).set(behind.max(0));
            }
        }
    }
    registry.register(
        "tidemill_stream_state",
        "1 for the state that a stream is in",
        reading,
    );
    registry.register(
        "tidemill_stream_next_offset",
        "The next offset that is read",
        next,
    );
    registry.register(
        "tidemill_stream_lag",
        "Offsets between that and the end of the partition",
        lag,
    );
    registry.register(
        "tidemill_stream_caught_up",
        "1 where all has been read: markers of transactions have offsets too",
        caught_up,
    );
    registry.register(
        "tidemill_stream_records",
        "What became of the records that were read",
        records,
    );
    Ok(())
}

fn fates(counts: &Counts) -> [(&'static str, i64); 6] {
    [
        ("taken", counts.taken),
        ("filtered", counts.filtered),
        ("skipped", counts.skipped),
        ("quarantined", counts.quarantined),
        ("deduped", counts.deduped),
        ("lost", counts.lost),
    ]
}
