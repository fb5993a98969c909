//! The sources of the streams that are to be read: started, paused and ended as DAGs change.

use crate::daemon::database::Database;
use crate::daemon::engine::{EngineDoor, Input, StreamRun, WantedStreams};
use crate::daemon::outside::Keeper;
use crate::daemon::stream_login::Logins;
use crate::daemon::{clock, facts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_connection::Places;
use tidemill_kafka::{Ports, Source, SourceSpec};
use tidemill_model::trigger::KafkaTrigger;
use tidemill_model::{DagNo, Trigger, VersionNo};
use tidemill_store::{
    Committed, Counts, Cut, LIVE, NewStreamRun, Refusal, SeekTo, StoreError, StreamDoor,
    StreamStore, StreamWish,
};

/// The wish of an engine that is gone is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A source and what it was started for.
struct Running {
    version: VersionNo,
    source: Source,
}

/// The sources of this process. They end with the value.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    door: EngineDoor,
    term: i64,
    logins: Logins,
    /// Where run folders lie.
    runs: PathBuf,
    runtime: tokio::runtime::Handle,
    sources: Mutex<BTreeMap<(DagNo, String), Running>>,
}

impl Streams {
    /// Follows what the engine wants, on a thread of its own: a source that ends is waited for.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        database: Database,
        door: EngineDoor,
        term: i64,
        keeper: Arc<Keeper>,
        runs: PathBuf,
    ) -> std::io::Result<Streams> {
        let logins = Logins {
            keeper,
            places: Places::of_process(),
            runtime: tokio::runtime::Handle::current(),
        };
        let shared = Arc::new(Shared {
            database,
            door,
            term,
            logins,
            runs,
            runtime: tokio::runtime::Handle::current(),
            sources: Mutex::default(),
        });
        let weak = Arc::downgrade(&shared);
        let mut wanted = shared.door.streams();
        let runtime = shared.runtime.clone();
        std::thread::Builder::new()
            .name("streams".to_string())
            .spawn(move || {
                loop {
                    let changed =
                        async { tokio::time::timeout(LOOK_EVERY, wanted.changed()).await };
                    let changed = runtime.block_on(changed);
                    let Some(shared) = weak.upgrade() else { return };
                    match changed {
                        Ok(Ok(())) => {
                            let now = wanted.borrow_and_update().clone();
                            shared.follow(&now);
                        }
                        Ok(Err(_)) => return, // the engine is gone
                        Err(_) => {}
                    }
                }
            })?;
        Ok(Streams { shared })
    }

    /// The way in for people's wishes.
    pub fn door(&self) -> StreamDoor {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |wish| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                match wish {
                    StreamWish::Status => Ok(shared.status()),
                    StreamWish::Pause {
                        dag,
                        trigger,
                        paused,
                    } => shared.pause(dag, &trigger, paused).await,
                    StreamWish::Seek {
                        dag,
                        trigger,
                        to,
                        dry_run,
                    } => shared.seek(dag, &trigger, to, dry_run).await,
                }
            })
        })
    }

    /// Ends all sources, and waits for them.
    pub fn stop(&self) {
        let ended = std::mem::take(&mut *self.shared.sources());
        drop(ended);
    }
}

impl Shared {
    fn status(&self) -> Value {
        let sources = self.sources();
        let told = sources.iter().map(|((dag, trigger), running)| {
            let mut told = json!(running.source.status());
            told["dag"] = json!(dag);
            told["trigger"] = json!(trigger);
            told
        });
        told.collect()
    }

    async fn pause(&self, dag: DagNo, trigger: &str, paused: bool) -> Result<Value, Refusal> {
        let streams = &self.database.streams;
        let record = streams.put_trigger(dag, trigger, clock::now()).await;
        let record = record.map_err(away)?;
        streams
            .pause_trigger(record.trigger, paused)
            .await
            .map_err(away)?;
        let dags = self.database.pages.dags().await.map_err(away)?;
        let dag_is_paused = dags.iter().any(|one| one.dag == dag && one.is_paused);
        if let Some(running) = self.sources().get(&(dag, trigger.to_string())) {
            running.source.pause(paused || dag_is_paused);
        }
        Ok(Value::Null)
    }

    /// Moves the cursors of a trigger that reads nothing just now.
    async fn seek(
        &self,
        dag: DagNo,
        trigger: &str,
        to: SeekTo,
        dry_run: bool,
    ) -> Result<Value, Refusal> {
        let conflict = |what: String| Refusal::Conflict { what };
        let streams = &self.database.streams;
        let record = streams.put_trigger(dag, trigger, clock::now()).await;
        let record = record.map_err(away)?;
        let mut cursors = streams.cursors(record.trigger, LIVE).await.map_err(away)?;
        if !record.is_paused {
            cursors.retain(|cursor| cursor.halted.is_some());
        }
        if cursors.is_empty() && !dry_run {
            return Err(conflict(format!(
                "{}/{trigger} is being read: pause it first, with `tidemill triggers pause`",
                record.dag_id
            )));
        }
        if cursors.is_empty() {
            cursors = streams.cursors(record.trigger, LIVE).await.map_err(away)?;
        }
        let kafka = self.kafka_of(dag, trigger).ok_or_else(|| {
            conflict(format!(
                "the file of {} has no trigger {trigger} now",
                record.dag_id
            ))
        })?;
        let asked = cursors.clone();
        let logins = self.logins.clone();
        let found = tokio::task::spawn_blocking(move || {
            let login = logins.of(&kafka.cluster)?;
            tidemill_kafka::locate(&login, &kafka, &asked, &to)
        });
        let found = found.await.map_err(|err| conflict(err.to_string()))?;
        let ends = found.map_err(conflict)?;
        let told = cursors.iter().zip(&ends).map(|(cursor, end)| {
            let from = cursor.next_offset;
            json!({
                "topic": cursor.partition.topic, "partition": cursor.partition.partition, "from": from, "to": end,
                "again": (from - end).max(0), "passed_over": (end - from).max(0),
            })
        });
        let told = json!({ "partitions": told.collect::<Vec<_>>() });
        if dry_run {
            return Ok(told);
        }
        let cuts: Vec<Cut> = cursors
            .iter()
            .zip(ends)
            .map(|(cursor, end)| Cut {
                partition: cursor.partition.clone(),
                expected: cursor.next_offset,
                end,
                counts: Counts::default(),
                halted: None,
            })
            .collect();
        let sought = streams
            .seek(self.term, record.trigger, &cuts, clock::now())
            .await;
        if sought.map_err(away)? != Committed::Done {
            return Err(conflict(
                "a cursor has moved meanwhile; ask again".to_string(),
            ));
        }
        if let Some(running) = self.sources().get(&(dag, trigger.to_string())) {
            running.source.reopen();
        }
        Ok(told)
    }

    fn kafka_of(&self, dag: DagNo, trigger: &str) -> Option<KafkaTrigger> {
        let wanted = self.door.streams();
        let wanted = wanted.borrow();
        let one = wanted.iter().find(|one| one.dag == dag)?;
        let mut triggers = one.definition.triggers.iter();
        Some(triggers.find(|one| one.name == trigger)?.kafka.clone())
    }

    fn sources(&self) -> std::sync::MutexGuard<'_, BTreeMap<(DagNo, String), Running>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, wanted: &[WantedStreams]) {
        let mut left = std::mem::take(&mut *self.sources());
        for one in wanted {
            let triggers = one.definition.triggers.iter();
            for trigger in triggers.filter(|trigger| trigger.is_enabled) {
                let key = (one.dag, trigger.name.clone());
                let is_paused = one.is_paused || self.is_paused(one.dag, &trigger.name);
                let running = match left.remove(&key) {
                    Some(running) if running.version == one.version => {
                        running.source.pause(is_paused);
                        running
                    }
                    // The earlier one has ended before the next begins.
                    earlier => {
                        drop(earlier);
                        match self.source(one, trigger, is_paused) {
                            Ok(running) => running,
                            Err(err) => {
                                tracing::error!(dag.id = %one.definition.id, trigger = %trigger.name, %err, "A stream cannot be read");
                                continue;
                            }
                        }
                    }
                };
                self.sources().insert(key, running);
            }
        }
    }

    fn is_paused(&self, dag: DagNo, name: &str) -> bool {
        let streams: Arc<dyn StreamStore> = Arc::clone(&self.database.streams);
        let record = self
            .runtime
            .block_on(streams.put_trigger(dag, name, clock::now()));
        record.is_ok_and(|record| record.is_paused)
    }

    fn source(
        &self,
        wanted: &WantedStreams,
        trigger: &Trigger,
        is_paused: bool,
    ) -> std::io::Result<Running> {
        let dag = Arc::clone(&wanted.definition);
        let active = i64::from(dag.max_active_runs);
        let spec = SourceSpec {
            dag: wanted.dag,
            dag_id: dag.id.clone(),
            version: wanted.version,
            trigger: Arc::new(trigger.clone()),
            is_one_of_many: dag.triggers.len() > 1,
            term: self.term,
            open_runs_high: 2 * active,
            open_runs_low: active,
        };
        let (door, runs) = (self.door.clone(), self.runs.clone());
        let params = trigger.params.clone();
        let ports = Ports {
            store: Arc::clone(&self.database.streams),
            runtime: self.runtime.clone(),
            run_numbers: self.door.run_numbers(),
            conf: Box::new(move |told| facts::conf_of(&dag, &params, told)),
            made: Box::new(move |made| hand_over(&door, &runs, made)),
            login: {
                let (logins, cluster) = (self.logins.clone(), trigger.kafka.cluster.clone());
                Arc::new(move || logins.of(&cluster))
            },
            now: clock::now,
        };
        Ok(Running {
            version: wanted.version,
            source: Source::start(spec, ports, is_paused)?,
        })
    }
}

fn away(err: StoreError) -> Refusal {
    Refusal::Unavailable {
        what: crate::exit::chain(&err),
    }
}

/// Lays out the records of new runs and gives the runs to the engine. A file that is not there is
/// written when a task needs it.
fn hand_over(door: &EngineDoor, runs: &std::path::Path, made: Vec<NewStreamRun>) {
    let runs = made.into_iter().map(|one| {
        let file = facts::records_file(runs, one.row.run);
        if let Err(err) = facts::lay_out_records(&file, &one.records) {
            tracing::warn!(run = %one.row.run, %err, "Cannot lay out the records of a run yet");
        }
        StreamRun {
            row: one.row,
            batch: one.batch,
        }
    });
    door.send(Input::StreamRuns(runs.collect()));
}
