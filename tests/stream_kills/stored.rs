//! What the store says when no server runs.

use super::ledger::Left;
use super::support::Place;
use std::collections::BTreeMap;
use tidemill_store::{Counts, LIVE, StreamStore};
use tidemill_store_postgres::{Address, PostgresStore};
use tidemill_store_sqlite::SqliteStore;

/// More rows than any siege leaves.
const ALL: u32 = 1_000_000;

/// What is stored of the one trigger.
#[derive(Debug, Default)]
pub struct Stored {
    /// What each reading has left, by its number.
    pub readings: BTreeMap<i64, Left>,
    /// Each replay and its state.
    pub replays: Vec<(i64, String)>,
    /// Where the live reading goes on, by partition.
    pub next: BTreeMap<i32, i64>,
}

impl Stored {
    /// Reads it. A file is copied first, so that looking changes nothing for its next owner.
    pub fn read(place: &Place) -> Stored {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let Some(url) = place.database() else {
                let copy = tempfile::tempdir().unwrap();
                for file in ["tidemill.db", "tidemill.db-wal"] {
                    let from = place.home().join(file);
                    if from.exists() {
                        std::fs::copy(from, copy.path().join(file)).unwrap();
                    }
                }
                let store = SqliteStore::open(&copy.path().join("tidemill.db")).await;
                return of_store(&store.unwrap()).await;
            };
            let address = Address::parse(url, None).unwrap();
            of_store(&PostgresStore::open_read_only(&address).await.unwrap()).await
        })
    }
}

async fn of_store(store: &impl StreamStore) -> Stored {
    let mut stored = Stored::default();
    for trigger in store.triggers().await.unwrap() {
        let number = trigger.trigger;
        let replays = store.replays(number, ALL).await.unwrap();
        stored.replays = replays
            .into_iter()
            .map(|one| (one.replay, one.state))
            .collect();
        let numbers = stored.replays.iter().map(|(number, _)| *number);
        for reading in numbers.chain([LIVE]) {
            let cursors = store.cursors(number, reading).await.unwrap();
            let counts = cursors.iter().map(|cursor| cursor.counts);
            let counts = counts.fold(Counts::default(), Counts::plus);
            let left = Left {
                counts,
                ..Left::default()
            };
            stored.readings.insert(reading, left);
            if reading == LIVE {
                let next = cursors.iter();
                stored.next = next
                    .map(|one| (one.partition.partition, one.next_offset))
                    .collect();
            }
        }
        for row in store.quarantine(number, ALL).await.unwrap() {
            let left = stored.readings.entry(row.replay).or_default();
            left.quarantine
                .push((row.class, row.partition.partition, row.offset));
        }
        for gap in store.gaps(number, ALL).await.unwrap() {
            let left = stored.readings.entry(gap.replay).or_default();
            left.gaps.push((gap.partition.partition, gap.from, gap.to));
        }
    }
    for left in stored.readings.values_mut() {
        left.quarantine.sort();
    }
    stored
}
