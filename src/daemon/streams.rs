//! The sources of the streams that are to be read: started, paused and ended as DAGs change.

use crate::daemon::database::Database;
use crate::daemon::engine::{EngineDoor, Input, StreamRun, WantedStreams};
use crate::daemon::outside::Keeper;
use crate::daemon::stream_login::Logins;
use crate::daemon::{clock, facts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_connection::Places;
use tidemill_kafka::{Ports, Source, SourceSpec};
use tidemill_model::{DagNo, Trigger, VersionNo};
use tidemill_store::{
    LIVE, NewStreamRun, Refusal, StoreError, StreamDoor, StreamStore, StreamWish, TriggerRecord,
};

/// The wish of an engine that is gone is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A DAG, its trigger, and which reading of it.
pub(super) type SourceKey = (DagNo, String, i64);

/// A source and what it was started for.
pub(super) struct Running {
    version: VersionNo,
    pub(super) source: Source,
}

/// The sources of this process. They end with the value.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) door: EngineDoor,
    pub(super) term: i64,
    pub(super) logins: Logins,
    /// Where run folders lie.
    pub(super) runs: PathBuf,
    runtime: tokio::runtime::Handle,
    sources: Mutex<BTreeMap<SourceKey, Running>>,
    /// A person has asked for a reading that there was not.
    asked: AtomicBool,
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
            asked: AtomicBool::new(false),
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
                        Err(_) if shared.is_asked() => {
                            let now = wanted.borrow().clone();
                            shared.follow(&now);
                        }
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
                    wish @ StreamWish::Replay { .. } => shared.replay(wish).await,
                    StreamWish::CancelReplay { replay } => shared.cancel_replay(replay).await,
                    StreamWish::Retry {
                        dag,
                        trigger,
                        poison,
                    } => shared.retry(dag, &trigger, poison).await,
                    StreamWish::Drop { trigger, poison } => {
                        let streams = &shared.database.streams;
                        let dropped = streams.drop_poison(trigger, poison).await;
                        dropped.map(Value::Bool).map_err(away)
                    }
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
        let told = sources.iter().map(|((dag, trigger, replay), running)| {
            let mut told = json!(running.source.status());
            told["dag"] = json!(dag);
            told["trigger"] = json!(trigger);
            told["replay"] = json!(replay);
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
        if let Some(running) = self.sources().get(&(dag, trigger.to_string(), LIVE)) {
            running.source.pause(paused || dag_is_paused);
        }
        Ok(Value::Null)
    }

    pub(super) fn sources(&self) -> std::sync::MutexGuard<'_, BTreeMap<SourceKey, Running>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, wanted: &[WantedStreams]) {
        let mut left = std::mem::take(&mut *self.sources());
        let open = self.database.streams.open_replays();
        let replays = self.runtime.block_on(open).unwrap_or_default();
        for one in wanted {
            let triggers = one.definition.triggers.iter();
            for trigger in triggers.filter(|trigger| trigger.is_enabled) {
                let Some(record) = self.record(one.dag, &trigger.name) else {
                    continue;
                };
                let readings = [(LIVE, one.is_paused || record.is_paused)];
                let replays = replays.iter().filter(|one| one.trigger == record.trigger);
                let replays = replays.map(|replay| (replay.replay, one.is_paused));
                for (replay, is_paused) in readings.into_iter().chain(replays) {
                    let key = (one.dag, trigger.name.clone(), replay);
                    let earlier = left.remove(&key);
                    if let Some(running) = self.reading(one, trigger, replay, is_paused, earlier) {
                        self.sources().insert(key, running);
                    }
                }
            }
        }
    }

    /// The source of one reading: the one that there is, or a new one.
    fn reading(
        &self,
        wanted: &WantedStreams,
        trigger: &Trigger,
        replay: i64,
        is_paused: bool,
        earlier: Option<Running>,
    ) -> Option<Running> {
        if let Some(running) = earlier {
            if running.version == wanted.version {
                running.source.pause(is_paused);
                return Some(running);
            }
            drop(running); // it has ended before the next begins
        }
        match self.source(wanted, trigger, replay, is_paused) {
            Ok(running) => Some(running),
            Err(err) => {
                tracing::error!(dag.id = %wanted.definition.id, trigger = %trigger.name, %err, "A stream cannot be read");
                None
            }
        }
    }

    /// Is something other than before to be read since this was last asked?
    fn is_asked(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }

    /// Something other than before is to be read.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    fn record(&self, dag: DagNo, name: &str) -> Option<TriggerRecord> {
        let streams: Arc<dyn StreamStore> = Arc::clone(&self.database.streams);
        let put = streams.put_trigger(dag, name, clock::now());
        self.runtime.block_on(put).ok()
    }

    fn source(
        &self,
        wanted: &WantedStreams,
        trigger: &Trigger,
        replay: i64,
        is_paused: bool,
    ) -> std::io::Result<Running> {
        let (spec, ports) = self.spec(wanted, trigger, replay);
        Ok(Running {
            version: wanted.version,
            source: Source::start(spec, ports, is_paused)?,
        })
    }

    /// What a reading is told, and what it needs.
    pub(super) fn spec(
        &self,
        wanted: &WantedStreams,
        trigger: &Trigger,
        replay: i64,
    ) -> (SourceSpec, Ports) {
        let dag = Arc::clone(&wanted.definition);
        let active = i64::from(dag.max_active_runs);
        let spec = SourceSpec {
            dag: wanted.dag,
            dag_id: dag.id.clone(),
            version: wanted.version,
            trigger: Arc::new(trigger.clone()),
            is_one_of_many: dag.triggers.len() > 1,
            replay,
            term: self.term,
            open_runs_high: 2 * active,
            open_runs_low: active,
        };
        let (door, runs) = (self.door.clone(), self.runs.clone());
        let (params, run_id) = (trigger.params.clone(), trigger.run_id.clone());
        let named = Arc::clone(&dag);
        let ports = Ports {
            store: Arc::clone(&self.database.streams),
            runtime: self.runtime.clone(),
            run_numbers: self.door.run_numbers(),
            conf: Box::new(move |told| facts::conf_of(&dag, &params, told)),
            name: Box::new(move |told| facts::name_of(&named, run_id.as_deref(), told)),
            made: Box::new(move |made| hand_over(&door, &runs, made)),
            login: {
                let (logins, cluster) = (self.logins.clone(), trigger.kafka.cluster.clone());
                Arc::new(move || logins.of(&cluster))
            },
            now: clock::now,
        };
        (spec, ports)
    }
}

pub(super) fn away(err: StoreError) -> Refusal {
    Refusal::Unavailable {
        what: crate::exit::chain(&err),
    }
}

/// Lays out the records of new runs and gives the runs to the engine. A file that is not there is
/// written when a task needs it.
pub(super) fn hand_over(door: &EngineDoor, runs: &std::path::Path, made: Vec<NewStreamRun>) {
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
