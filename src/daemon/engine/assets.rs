//! Assets: events of tasks and of people, and the runs that they make. Each event is part of at
//! most one run of a DAG, and is kept until then, be the DAG paused.

use super::Engine;
use super::schedule::NewRun;
use crate::daemon::clock;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tidemill_model::dag::Asset;
use tidemill_model::{AssetNo, Dag, DagNo, EventNo, MapIndex, RunNo, RunType, TaskIndex, TaskNo};
use tidemill_store::{
    Answer, AssetDelivery, AssetEventRow, AssetRow, AssetState, EventSource, Refusal, RunKey,
    ValueRow,
};

/// The number under which a run keeps values of its own: no task has it.
pub const RUN_ITSELF: TaskNo = TaskNo(0);
/// The value of a run that names the events that it was made for.
pub const TRIGGERING_EVENTS: &str = "triggering_asset_events";

/// The assets of the installation.
#[derive(Default)]
pub(super) struct Assets {
    rows: BTreeMap<String, AssetRow>,
    /// Events that wait for a DAG's next run, by asset.
    waiting: HashMap<DagNo, BTreeMap<String, Vec<AssetEventRow>>>,
    /// The DAGs that wait for an asset.
    consumers: HashMap<String, BTreeSet<DagNo>>,
    last_asset: i64,
    last_event: i64,
    /// What tasks have written in this pass.
    pub written: Vec<(RunNo, TaskIndex, String, Value)>,
    /// DAGs that may have a run to make in this pass.
    pub due: BTreeSet<DagNo>,
}

/// An event that is being made.
struct NewEvent {
    extra: Value,
    source: Option<EventSource>,
    emitted_by: Option<String>,
}

impl Assets {
    /// The assets that have events for a DAG's next run.
    pub(super) fn waiting_for(&self, dag: DagNo) -> BTreeSet<String> {
        let waiting = self.waiting.get(&dag).into_iter().flatten();
        waiting.map(|(name, _)| name.clone()).collect()
    }

    /// A run of a DAG is over: events that the policy `skip` has kept waiting look again.
    pub(super) fn look_again(&mut self, dag: DagNo) {
        if self.waiting.contains_key(&dag) {
            self.due.insert(dag);
        }
    }

    fn row(&self, name: &str) -> Option<&AssetRow> {
        self.rows.get(name)
    }

    fn number(&self, no: AssetNo) -> Option<&AssetRow> {
        self.rows.values().find(|row| row.asset == no)
    }
}

impl Engine {
    /// Takes in what an earlier process has left.
    pub(super) fn resume_assets(
        &mut self,
        rows: Vec<AssetRow>,
        waiting: Vec<(DagNo, AssetEventRow)>,
        last_event: i64,
    ) {
        let names: HashMap<AssetNo, String> = rows
            .iter()
            .map(|row| (row.asset, row.name.clone()))
            .collect();
        self.assets.last_asset = rows.iter().map(|row| row.asset.0).max().unwrap_or(0);
        self.assets.last_event = last_event;
        self.assets.rows = rows
            .into_iter()
            .map(|row| (row.name.clone(), row))
            .collect();
        for (dag, event) in waiting {
            if let Some(name) = names.get(&event.asset) {
                let of_dag = self.assets.waiting.entry(dag).or_default();
                of_dag.entry(name.clone()).or_default().push(event);
            }
        }
        let dags: Vec<DagNo> = self.dags.keys().copied().collect();
        dags.into_iter()
            .for_each(|dag_no| self.follow_assets(dag_no));
    }

    /// A DAG has a definition: its assets are known from here on, and it waits for those that its
    /// schedule names, and for no others.
    pub(super) fn follow_assets(&mut self, dag_no: DagNo) {
        let state = self.dags.get(&dag_no);
        let Some(definition) = state.and_then(|state| state.definition.clone()) else {
            return;
        };
        for asset in &definition.dag.assets {
            self.keep_asset(asset);
        }
        let condition = definition.dag.asset_schedule.as_ref();
        let names = condition
            .map(|condition| condition.names())
            .unwrap_or_default();
        self.assets.consumers.values_mut().for_each(|dags| {
            dags.remove(&dag_no);
        });
        for name in &names {
            let consumers = self.assets.consumers.entry((*name).to_string());
            consumers.or_default().insert(dag_no);
        }
        if let Some(waiting) = self.assets.waiting.get_mut(&dag_no) {
            let gone = waiting.extract_if(.., |name, _| !names.contains(name.as_str()));
            let gone: Vec<EventNo> = gone
                .flat_map(|(_, events)| events)
                .map(|one| one.event)
                .collect();
            let dropped = gone.into_iter().map(|event| (dag_no, event));
            self.draft.rows.dropped_deliveries.extend(dropped);
        }
        self.assets.due.insert(dag_no);
    }

    fn keep_asset(&mut self, asset: &Asset) {
        let now = clock::now();
        let known = self.assets.rows.get(&asset.name);
        let row = match known {
            Some(known) if !asset.is_declared || is_same(known, asset) => return,
            Some(known) => AssetRow {
                updated_at: now,
                ..row_of(asset, known.asset, known.created_at)
            },
            None => {
                self.assets.last_asset += 1;
                row_of(asset, AssetNo(self.assets.last_asset), now)
            }
        };
        self.draft.rows.assets.push(row.clone());
        self.assets.rows.insert(row.name.clone(), row);
    }

    /// Makes events of what tasks have written, and the runs that follow from events.
    pub(super) fn take_assets(&mut self) {
        for (run_no, at, name, extra) in std::mem::take(&mut self.assets.written) {
            let Some(run) = self.runs.get(&run_no) else {
                continue;
            };
            let source = EventSource {
                dag_id: run.dag.id.clone(),
                run_id: run.row.run_id.clone(),
                task_id: run.task(at).id.clone(),
                map_index: run.tasks[at.at()].map_index.0,
            };
            let new = NewEvent {
                extra,
                source: Some(source),
                emitted_by: None,
            };
            self.add_event(&name, new);
        }
        if self.stopping.is_none() {
            for dag_no in std::mem::take(&mut self.assets.due) {
                self.make_asset_run(dag_no);
            }
        }
    }

    fn add_event(&mut self, name: &str, new: NewEvent) -> Option<AssetEventRow> {
        let asset = self.assets.row(name)?.asset;
        self.assets.last_event += 1;
        let event = AssetEventRow {
            event: EventNo(self.assets.last_event),
            asset,
            at: clock::now(),
            extra: new.extra,
            source: new.source,
            emitted_by: new.emitted_by,
        };
        self.draft.rows.asset_events.push(event.clone());
        let consumers = self.assets.consumers.get(name).cloned();
        for dag in consumers.unwrap_or_default() {
            let waiting = self.assets.waiting.entry(dag).or_default();
            waiting
                .entry(name.to_string())
                .or_default()
                .push(event.clone());
            self.draft.rows.deliveries.push(AssetDelivery {
                dag,
                event: event.event,
                run: None,
            });
            self.assets.due.insert(dag);
        }
        Some(event)
    }

    /// Makes a run of a DAG when the events that wait for it meet its condition; all of them are
    /// part of it. A paused DAG makes none, and its events wait on.
    fn make_asset_run(&mut self, dag_no: DagNo) {
        let Some(state) = self.dags.get(&dag_no) else {
            return;
        };
        let may_run = !state.record.is_paused && !state.record.is_stale;
        let Some(definition) = state.definition.clone().filter(|_| may_run) else {
            return;
        };
        let dag: &Dag = &definition.dag;
        let is_allowed = dag.allowed_run_types.contains(&RunType::AssetTriggered);
        let waiting = self.assets.waiting.get(&dag_no);
        let has_event = |name: &str| waiting.is_some_and(|waiting| waiting.contains_key(name));
        let condition = dag.asset_schedule.as_ref().filter(|_| is_allowed);
        if !condition.is_some_and(|condition| condition.is_met(&has_event)) {
            return;
        }
        let taken = waiting.cloned().unwrap_or_default();
        let newest = taken.values().flatten().map(|event| event.event).max();
        let newest = newest.unwrap_or(EventNo(0));
        let new = NewRun {
            key: RunKey {
                run_id: format!("asset_triggered__{}_{newest}", clock::now()),
                logical_date: None,
                cause: Some(format!("assets:{newest}")),
            },
            run_type: RunType::AssetTriggered,
            data_interval: None,
            run_after: None,
            conf: json!({}),
            triggered_by: Some("asset".to_string()),
            note: None,
        };
        match self.make_run(dag_no, new) {
            Ok(run_no) => {
                self.give_events(dag_no, run_no, taken);
                self.begin_runs(dag_no);
            }
            Err(why) => {
                tracing::info!(dag = %dag_no, %why, "Events of assets have made no run; they wait")
            }
        }
    }

    fn give_events(
        &mut self,
        dag: DagNo,
        run_no: RunNo,
        taken: BTreeMap<String, Vec<AssetEventRow>>,
    ) {
        self.assets.waiting.remove(&dag);
        let told = taken.iter().map(|(name, events)| {
            let asset = self.assets.rows.get(name);
            let events: Vec<Value> = events.iter().map(|event| told(event, asset)).collect();
            (name.clone(), Value::Array(events))
        });
        let value = Value::Object(told.collect::<Map<_, _>>());
        self.draft.rows.values.push(ValueRow {
            run: run_no,
            task_no: RUN_ITSELF,
            map_index: MapIndex::NONE,
            key: TRIGGERING_EVENTS.to_string(),
            value,
        });
        let deliveries = taken.into_values().flatten().map(|event| AssetDelivery {
            dag,
            event: event.event,
            run: Some(run_no),
        });
        self.draft.rows.deliveries.extend(deliveries);
    }

    /// A person says that an asset has been written.
    pub(super) fn emit_asset(
        &mut self,
        name: &str,
        extra: Map<String, Value>,
        emitted_by: String,
    ) -> Result<Answer, Refusal> {
        let new = NewEvent {
            extra: Value::Object(extra),
            source: None,
            emitted_by: Some(emitted_by),
        };
        let event = self.add_event(name, new).ok_or_else(|| Refusal::NotFound {
            what: format!(
                "there is no asset {name}; `tidemill assets list` shows those that there are"
            ),
        })?;
        Ok(Answer::AssetEvent(Box::new(event)))
    }

    /// Forgets events that wait for a DAG: of one asset, or all.
    pub(super) fn drop_asset_events(
        &mut self,
        dag_id: Option<&str>,
        asset: Option<AssetNo>,
    ) -> Result<Answer, Refusal> {
        let only = dag_id.map(|dag_id| self.dag_no(dag_id)).transpose()?;
        let name = asset
            .and_then(|no| self.assets.number(no))
            .map(|row| row.name.clone());
        let mut dropped = Vec::new();
        for (dag_no, waiting) in &mut self.assets.waiting {
            if only.is_some_and(|only| only != *dag_no) {
                continue;
            }
            let gone = waiting.extract_if(.., |of, _| asset.is_none() || Some(of) == name.as_ref());
            let events = gone.flat_map(|(_, events)| events);
            dropped.extend(events.map(|event| (*dag_no, event.event)));
        }
        self.draft.rows.dropped_deliveries.extend(dropped);
        Ok(Answer::Done)
    }

    /// Every asset, with who writes it, who waits for it, and what waits.
    pub(super) fn tell_assets(&self) -> Answer {
        let mut states: BTreeMap<&str, AssetState> = self
            .assets
            .rows
            .values()
            .map(|row| (row.name.as_str(), AssetState::of(row.clone())))
            .collect();
        let live = self.dags.values().filter(|state| !state.record.is_stale);
        for state in live {
            let Some(definition) = &state.definition else {
                continue;
            };
            let dag = &definition.dag;
            for task in &dag.tasks {
                let pair = || (dag.id.clone(), task.id.clone());
                for name in &task.outlets {
                    states
                        .entry(name)
                        .and_modify(|one| one.producers.push(pair()));
                }
                for name in &task.inlets {
                    states
                        .entry(name)
                        .and_modify(|one| one.readers.push(pair()));
                }
            }
            for name in dag
                .asset_schedule
                .iter()
                .flat_map(|condition| condition.names())
            {
                let waiting = self.assets.waiting.get(&state.record.dag);
                let events = waiting.and_then(|waiting| waiting.get(name));
                let events = events.cloned().unwrap_or_default();
                states
                    .entry(name)
                    .and_modify(|one| one.consumers.push((dag.id.clone(), events)));
            }
        }
        let mut states: Vec<AssetState> = states.into_values().collect();
        for state in &mut states {
            state.producers.sort_unstable();
            state.readers.sort_unstable();
            state.consumers.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Answer::Assets(states)
    }
}

fn row_of(asset: &Asset, no: AssetNo, created_at: tidemill_model::Ts) -> AssetRow {
    AssetRow {
        asset: no,
        name: asset.name.clone(),
        uri: asset.uri.clone(),
        group: asset.group.clone(),
        description: asset.description.clone(),
        extra: asset.extra.clone(),
        created_at,
        updated_at: created_at,
    }
}

fn is_same(row: &AssetRow, asset: &Asset) -> bool {
    row.uri == asset.uri
        && row.group == asset.group
        && row.description == asset.description
        && row.extra == asset.extra
}

/// An event as templates see it.
fn told(event: &AssetEventRow, asset: Option<&AssetRow>) -> Value {
    let source = event.source.as_ref();
    json!({
        "timestamp": event.at,
        "uri": asset.map(|asset| &asset.uri),
        "name": asset.map(|asset| &asset.name),
        "extra": event.extra,
        "source_dag_id": source.map(|source| &source.dag_id),
        "source_run_id": source.map(|source| &source.run_id),
        "source_task_id": source.map(|source| &source.task_id),
        "source_map_index": source.map_or(-1, |source| source.map_index),
    })
}
