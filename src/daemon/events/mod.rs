//! Webhooks and files that make runs. They are attended to by the process that holds the term,
//! beside its streams.

mod files;
mod hooks;
mod signature;

use crate::daemon::clock;
use crate::daemon::database::Database;
use crate::daemon::engine::{EngineDoor, WantedStreams};
use crate::daemon::outside::Keeper;
use crate::exit::chain;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidemill_connection::Places;
use tidemill_model::event::EventTrigger;
use tidemill_model::{DagNo, TriggerNo, Ts};
use tidemill_store::{
    Answer, Command, Happening, LIVE, Partition, Refusal, SeenKey, StreamCommit, StreamDoor,
    StreamWish,
};

/// What has made a run is remembered for ten years: longer than its run.
const REMEMBERED_US: i64 = 10 * 365 * 86_400 * 1_000_000;

/// All webhooks and files of this process.
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    door: EngineDoor,
    term: i64,
    keeper: Arc<Keeper>,
    places: Places,
    /// What is told of each trigger.
    told: Mutex<BTreeMap<(DagNo, String), Told>>,
}

/// What is told of a trigger.
#[derive(Clone, Debug, Default)]
struct Told {
    kind: &'static str,
    /// Runs that it has made since the start.
    n_runs: i64,
    /// What was wrong at last.
    why: Option<String>,
}

impl Events {
    /// Follows what the engine wants; files are looked at by a thread of their own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        database: Database,
        door: EngineDoor,
        term: i64,
        keeper: Arc<Keeper>,
    ) -> std::io::Result<Events> {
        let events = Events {
            shared: Arc::new(Shared {
                database,
                door,
                term,
                keeper,
                places: Places::of_process(),
                told: Mutex::default(),
            }),
        };
        files::start(&events.shared)?;
        Ok(events)
    }

    /// The way in for calls.
    pub fn hooks(&self) -> tidemill_web::HookDoor {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |call| {
            let shared = Arc::clone(&shared);
            Box::pin(async move { shared.called(call).await })
        })
    }

    /// The way in for people's wishes; what is not about these goes on to the streams.
    pub fn door(&self, streams: Option<StreamDoor>) -> StreamDoor {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |wish| {
            let (shared, streams) = (Arc::clone(&shared), streams.clone());
            Box::pin(async move {
                match wish {
                    StreamWish::Status => {
                        let mut all = shared.status();
                        if let Some(door) = streams
                            && let Value::Array(more) = door(StreamWish::Status).await?
                        {
                            all.extend(more);
                        }
                        Ok(Value::Array(all))
                    }
                    StreamWish::Pause {
                        dag,
                        trigger,
                        paused,
                    } if shared.find(dag, &trigger).is_some() => {
                        shared.pause(dag, &trigger, paused).await
                    }
                    other => match streams {
                        Some(door) => door(other).await,
                        None => Err(Refusal::Unavailable {
                            what: "this server was built without Kafka".to_string(),
                        }),
                    },
                }
            })
        })
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, BTreeMap<(DagNo, String), Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> Vec<Value> {
        let told = self.told();
        let one = |((dag, trigger), told): (&(DagNo, String), &Told)| {
            json!({
                "dag": dag, "trigger": trigger, "kind": told.kind, "state": "listening",
                "why": told.why, "taken": told.n_runs, "partitions": [], "replay": LIVE,
            })
        };
        told.iter().map(one).collect()
    }

    /// The trigger of that name, if its DAG has it now.
    fn find(&self, dag: DagNo, name: &str) -> Option<EventTrigger> {
        let wanted = self.door.streams();
        let wanted = wanted.borrow();
        let one = wanted.iter().find(|one| one.dag == dag)?;
        let mut all = one.definition.event_triggers.iter();
        all.find(|one| one.name == name).cloned()
    }

    async fn pause(&self, dag: DagNo, trigger: &str, paused: bool) -> Result<Value, Refusal> {
        let streams = &self.database.streams;
        let record = streams.put_trigger(dag, trigger, clock::now()).await;
        let record = record.map_err(away)?;
        let paused = streams.pause_trigger(record.trigger, paused).await;
        paused.map_err(away)?;
        Ok(Value::Null)
    }

    /// Makes triggers known to people, and forgets those that are gone.
    async fn register(&self, wanted: &[WantedStreams]) {
        let mut told = BTreeMap::new();
        for one in wanted {
            for trigger in one.definition.event_triggers.iter() {
                if !trigger.is_enabled {
                    continue;
                }
                let known = self
                    .database
                    .streams
                    .put_trigger(one.dag, &trigger.name, clock::now());
                if let Err(err) = known.await {
                    tracing::warn!(error = %chain(&err), "A trigger cannot be written down");
                }
                let key = (one.dag, trigger.name.clone());
                let before = self.told().get(&key).cloned().unwrap_or_default();
                let kind = trigger.source.name();
                told.insert(key, Told { kind, ..before });
            }
        }
        *self.told() = told;
    }

    fn note(&self, dag: DagNo, trigger: &str, change: impl FnOnce(&mut Told)) {
        if let Some(told) = self.told().get_mut(&(dag, trigger.to_string())) {
            change(told);
        }
    }

    /// Tells the engine what has happened, unless it has made a run before that is forgotten by
    /// now. Gives the run's name; `None` where there is none, or none any more.
    async fn tell(
        &self,
        dag: DagNo,
        trigger: TriggerNo,
        mut what: Happening,
    ) -> Result<Option<String>, Refusal> {
        let (key, name) = (what.key.clone(), what.trigger.clone());
        let is_known = self.is_known(trigger, &key).await?;
        what.is_known = is_known;
        let answer = self.door.ask(Command::Happened(Box::new(what))).await;
        let run = match answer {
            Ok(Answer::Run(row)) => Some(row.run_id),
            Ok(_) => None,
            Err(refusal) => {
                let why = refusal.to_string();
                self.note(dag, &name, |told| told.why = Some(why));
                return Err(refusal);
            }
        };
        if !is_known {
            self.remember(trigger, &key).await?;
            let n_runs = i64::from(run.is_some());
            self.note(dag, &name, |told| {
                told.n_runs += n_runs;
                told.why = None;
            });
        }
        Ok(run)
    }

    /// Has it made a run before?
    async fn is_known(&self, trigger: TriggerNo, key: &str) -> Result<bool, Refusal> {
        let streams = &self.database.streams;
        let known = streams.seen(trigger, &[hash_of(key)], clock::now()).await;
        Ok(!known.map_err(away)?.is_empty())
    }

    async fn remember(&self, trigger: TriggerNo, key: &str) -> Result<(), Refusal> {
        let now = clock::now();
        let commit = StreamCommit {
            term: self.term,
            trigger,
            replay: tidemill_store::LIVE,
            now,
            cuts: Vec::new(),
            runs: Vec::new(),
            poison: Vec::new(),
            seen: vec![SeenKey {
                hash: hash_of(key),
                partition: Partition {
                    topic: String::new(),
                    incarnation: String::new(),
                    partition: 0,
                },
                offset: 0,
                expires_at: Ts(now.0.saturating_add(REMEMBERED_US)),
            }],
            retried: Vec::new(),
        };
        let written = self.database.streams.commit_stream(&commit).await;
        written.map(drop).map_err(away)
    }
}

fn hash_of(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn away(err: tidemill_store::StoreError) -> Refusal {
    Refusal::Unavailable { what: chain(&err) }
}
