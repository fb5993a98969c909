//! What pages read from the maps.

use super::{MemoryStore, Tables};
use crate::asset::*;
use crate::forget::{LookedAt, OldRuns};
use crate::record::*;
use crate::{BackfillDate, BackfillRecord, BackfillRow, PageStore, StoreError};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::{
    BackfillNo, DagNo, EventNo, MapIndex, RunNo, RunState, TaskNo, TaskState, Ts, VersionNo,
};

impl Tables {
    fn record_of(&self, row: &RunRow) -> Option<RunRecord> {
        let dag = self.dags.get(&row.dag)?;
        let version = self.versions.get(&row.version)?;
        Some(RunRecord {
            dag_id: dag.dag_id.clone(),
            version_number: version.number,
            row: row.clone(),
        })
    }

    fn matches(&self, filter: &RunFilter, row: &RunRow) -> bool {
        let is_of_dag = match &filter.dag_id {
            Some(dag_id) => self
                .dags
                .get(&row.dag)
                .is_some_and(|dag| &dag.dag_id == dag_id),
            None => true,
        };
        is_of_dag
            && (filter.states.is_empty() || filter.states.contains(&row.state))
            && filter
                .run_type
                .is_none_or(|run_type| run_type == row.run_type)
            && filter.before.is_none_or(|before| row.run < before)
            && is_between(row.logical_date, filter.logical_date)
            && is_between(Some(row.run_after), filter.run_after)
            && is_between(row.started_at, filter.start_date)
            && is_between(row.ended_at, filter.end_date)
    }
}

fn is_between(at: Option<Ts>, (from, until): Between) -> bool {
    let Some(at) = at else {
        return from.is_none() && until.is_none();
    };
    from.is_none_or(|from| at >= from) && until.is_none_or(|until| at <= until)
}

/// Smaller comes first: those without a value last, equals newest first.
fn place_in(order: RunOrder, row: &RunRow) -> (bool, i64, std::cmp::Reverse<RunNo>) {
    let value = order.by.of(row);
    let key = value.map_or(0, |value| if order.descending { !value } else { value });
    (value.is_none(), key, std::cmp::Reverse(row.run))
}

/// A version as lists show it.
fn without_texts(version: &VersionRecord) -> VersionRecord {
    VersionRecord {
        version: version.version,
        dag: version.dag,
        number: version.number,
        hash: version.hash.clone(),
        file: version.file.clone(),
        source: String::new(),
        files: Vec::new(),
        created_at: version.created_at,
    }
}

#[async_trait]
impl PageStore for MemoryStore {
    async fn dags(&self) -> Result<Vec<DagRecord>, StoreError> {
        let mut dags: Vec<DagRecord> = self.lock().dags.values().cloned().collect();
        dags.sort_by(|a, b| a.dag_id.cmp(&b.dag_id));
        Ok(dags)
    }

    async fn dag(&self, dag_id: &str) -> Result<Option<DagRecord>, StoreError> {
        Ok(self.lock().dag_named(dag_id).cloned())
    }

    async fn runs(&self, filter: &RunFilter) -> Result<RunList, StoreError> {
        let tables = self.lock();
        let newest_first = tables.runs.values().rev();
        let mut matching: Vec<&RunRow> = newest_first
            .filter(|row| tables.matches(filter, row))
            .collect();
        if let Some(order) = filter.order {
            matching.sort_by_key(|row| place_in(order, row));
        }
        let page = matching
            .iter()
            .skip(filter.offset as usize)
            .take(filter.limit as usize);
        Ok(RunList {
            runs: page.filter_map(|row| tables.record_of(row)).collect(),
            total: matching.len() as i64,
        })
    }

    async fn run(&self, dag_id: &str, run_id: &str) -> Result<Option<RunRecord>, StoreError> {
        let tables = self.lock();
        let Some(dag) = tables.dag_named(dag_id) else {
            return Ok(None);
        };
        let row = tables
            .runs
            .values()
            .find(|run| run.dag == dag.dag && run.run_id == run_id);
        Ok(row.and_then(|row| tables.record_of(row)))
    }

    async fn run_by_no(&self, run: RunNo) -> Result<Option<RunRecord>, StoreError> {
        let tables = self.lock();
        Ok(tables.runs.get(&run).and_then(|row| tables.record_of(row)))
    }

    async fn old_runs(&self, which: &OldRuns) -> Result<Vec<LookedAt>, StoreError> {
        Ok(self.lock().look_at(which))
    }

    async fn tasks(&self, runs: &[RunNo]) -> Result<Vec<TaskRow>, StoreError> {
        let tables = self.lock();
        let runs: BTreeSet<RunNo> = runs.iter().copied().collect();
        Ok(runs
            .into_iter()
            .flat_map(|run| tables.tasks_of(run))
            .collect())
    }

    async fn task(
        &self,
        run: RunNo,
        task: TaskNo,
        map_index: MapIndex,
    ) -> Result<Option<TaskRow>, StoreError> {
        Ok(self.lock().tasks.get(&(run, task, map_index)).cloned())
    }

    async fn task_page(
        &self,
        run: RunNo,
        states: &[TaskState],
        offset: u32,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError> {
        let mut tasks = self.lock().tasks_of(run);
        tasks.retain(|task| states.is_empty() || states.contains(&task.state));
        let page = tasks.into_iter().skip(offset as usize);
        Ok(page.take(limit as usize).collect())
    }

    async fn task_counts(&self, run: RunNo) -> Result<Vec<(TaskState, i64)>, StoreError> {
        let mut counts: BTreeMap<TaskState, i64> = BTreeMap::new();
        for task in self.lock().tasks_of(run) {
            *counts.entry(task.state).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn tries(
        &self,
        run: RunNo,
        task: TaskNo,
        map_index: MapIndex,
    ) -> Result<Vec<TryRow>, StoreError> {
        let tables = self.lock();
        let key = (run, task, map_index);
        let from = (key, i32::MIN, i64::MIN)..=(key, i32::MAX, i64::MAX);
        Ok(tables
            .tries
            .range(from)
            .map(|(_, row)| row.clone())
            .collect())
    }

    async fn run_values(&self, run: RunNo) -> Result<Vec<ValueRow>, StoreError> {
        Ok(self.lock().values_of(run, |_| true))
    }

    async fn task_notes(&self, run: RunNo) -> Result<Vec<TaskNote>, StoreError> {
        let tables = self.lock();
        let of_run = tables.notes.values().filter(|note| note.run == run);
        Ok(of_run.cloned().collect())
    }

    async fn backfills(&self) -> Result<Vec<BackfillRecord>, StoreError> {
        let tables = self.lock();
        let record = |row: &BackfillRow| {
            Some(BackfillRecord {
                dag_id: tables.dags.get(&row.dag)?.dag_id.clone(),
                row: row.clone(),
            })
        };
        Ok(tables.backfills.values().rev().filter_map(record).collect())
    }

    async fn backfill_dates(&self, backfill: BackfillNo) -> Result<Vec<BackfillDate>, StoreError> {
        Ok(self.lock().dates_of(backfill).cloned().collect())
    }

    async fn assets(&self) -> Result<Vec<AssetRow>, StoreError> {
        Ok(self.lock().assets_by_name())
    }

    async fn asset_events(&self, filter: &EventFilter) -> Result<EventList, StoreError> {
        Ok(self.lock().events_found(filter))
    }

    async fn last_asset_events(&self) -> Result<Vec<AssetEventRow>, StoreError> {
        Ok(self.lock().last_events())
    }

    async fn asset_deliveries(&self, events: &[EventNo]) -> Result<Vec<AssetDelivery>, StoreError> {
        Ok(self.lock().deliveries_of(events))
    }

    async fn pools(&self) -> Result<Vec<PoolRecord>, StoreError> {
        Ok(self.lock().pools.values().cloned().collect())
    }

    async fn task_names(&self, dag: DagNo) -> Result<Vec<(TaskNo, String)>, StoreError> {
        let tables = self.lock();
        let names = tables.task_names.get(&dag);
        Ok(names
            .map(|names| names.iter().map(|(no, id)| (*no, id.clone())).collect())
            .unwrap_or_default())
    }

    async fn version(&self, version: VersionNo) -> Result<Option<VersionRecord>, StoreError> {
        Ok(self.lock().versions.get(&version).cloned())
    }

    async fn versions(&self, dag: DagNo) -> Result<Vec<VersionRecord>, StoreError> {
        let tables = self.lock();
        let of_dag = tables
            .versions
            .values()
            .rev()
            .filter(|version| version.dag == dag);
        Ok(of_dag.map(without_texts).collect())
    }

    async fn import_errors(&self) -> Result<Vec<ImportErrors>, StoreError> {
        Ok(self.lock().import_errors.values().cloned().collect())
    }

    async fn installation(&self) -> Result<String, StoreError> {
        Ok("memory".to_string())
    }

    async fn last_change(&self) -> Result<i64, StoreError> {
        let tables = self.lock();
        Ok(tables.changes.last_key_value().map_or(0, |(seq, _)| *seq))
    }

    async fn changes_after(&self, seq: i64, limit: u32) -> Result<Vec<Change>, StoreError> {
        let tables = self.lock();
        let Some(first) = seq.checked_add(1) else {
            return Ok(Vec::new());
        };
        Ok(tables
            .changes
            .range(first..)
            .take(limit as usize)
            .map(|(_, change)| change.clone())
            .collect())
    }

    async fn run_counts(&self) -> Result<Vec<(DagNo, RunState, i64)>, StoreError> {
        let mut counts: BTreeMap<(DagNo, RunState), i64> = BTreeMap::new();
        for row in self.lock().runs.values() {
            *counts.entry((row.dag, row.state)).or_default() += 1;
        }
        Ok(counts
            .into_iter()
            .map(|((dag, state), count)| (dag, state, count))
            .collect())
    }
}
