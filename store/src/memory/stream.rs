//! Streams, on the maps.

use super::{MemoryStore, Tables, refused};
use crate::hands::*;
use crate::stream::*;
use crate::{RunKey, StoreError};
use async_trait::async_trait;
use std::collections::BTreeMap;
use tidemill_model::{DagNo, RunNo, TriggerNo, Ts};

type CursorKey = (TriggerNo, i64, Partition);

/// What streams keep.
#[derive(Debug, Default)]
pub(super) struct Streams {
    triggers: BTreeMap<TriggerNo, TriggerRecord>,
    cursors: BTreeMap<CursorKey, Cursor>,
    batches: BTreeMap<RunNo, (BatchRecord, Vec<u8>)>,
    poison: Vec<PoisonRecord>,
    seen: BTreeMap<(TriggerNo, [u8; 32]), SeenKey>,
    gaps: Vec<GapRecord>,
    replays: Vec<ReplayRecord>,
    blocks: BTreeMap<RunNo, LaneBlock>,
    causes: std::collections::BTreeSet<String>,
}

impl Streams {
    /// Does a cursor stand where a cut expects it?
    fn fits(&self, trigger: TriggerNo, replay: i64, cut: &Cut) -> bool {
        let key = (trigger, replay, cut.partition.clone());
        let cursor = self.cursors.get(&key);
        cursor.is_some_and(|cursor| cursor.next_offset == cut.expected)
    }

    fn move_to(&mut self, trigger: TriggerNo, replay: i64, cut: &Cut, now: Ts) {
        let key = (trigger, replay, cut.partition.clone());
        if let Some(cursor) = self.cursors.get_mut(&key) {
            cursor.next_offset = cut.end;
            cursor.halted = cut.halted.clone();
            cursor.counts = cursor.counts.plus(cut.counts);
            cursor.updated_at = now;
        }
        if let Some((from, to, why)) = &cut.gap {
            self.gaps.push(GapRecord {
                gap: self.gaps.len() as i64 + 1,
                trigger,
                replay,
                partition: cut.partition.clone(),
                from: *from,
                to: *to,
                why: why.clone(),
                seen_at: now,
            });
        }
    }

    /// What a pass writes.
    pub(super) fn apply(&mut self, rows: &StreamRows) {
        for row in &rows.poison {
            if self.causes.insert(row.cause.clone()) {
                let number = self.poison.len() as i64 + 1;
                let kept = kept_poison(number, row.trigger, row.replay, row.at, &row.poison);
                self.poison.push(kept);
            }
        }
        for block in &rows.blocks {
            self.blocks
                .entry(block.run)
                .or_insert_with(|| block.clone());
        }
        self.blocks.retain(|run, _| !rows.unblocked.contains(run));
    }

    /// Is the cut of another partition, or of none that was cut before it? One cursor moves once.
    fn fit(&self, trigger: TriggerNo, replay: i64, cuts: &[Cut]) -> bool {
        let is_twice = |at: usize| {
            let others = &cuts[..at];
            others.iter().any(|one| one.partition == cuts[at].partition)
        };
        (0..cuts.len()).all(|at| self.fits(trigger, replay, &cuts[at]) && !is_twice(at))
    }
}

impl Tables {
    fn check_term(&self, term: i64) -> Result<(), StoreError> {
        match term == self.term && term != 0 {
            true => Ok(()),
            false => Err(StoreError::TermLost),
        }
    }

    fn commit_stream(&mut self, commit: &StreamCommit) -> Result<Committed, StoreError> {
        self.check_term(commit.term)?;
        let trigger = self.streams.triggers.get(&commit.trigger);
        let Some(trigger) = trigger else {
            return Ok(Committed::Paused);
        };
        let dag_is_paused = self.dags.get(&trigger.dag).is_none_or(|dag| dag.is_paused);
        if dag_is_paused || trigger.is_paused && commit.replay == LIVE {
            return Ok(Committed::Paused);
        }
        if !self
            .streams
            .fit(commit.trigger, commit.replay, &commit.cuts)
        {
            return Ok(Committed::Fenced);
        }
        for run in &commit.runs {
            let row = &run.row;
            let key = RunKey {
                run_id: row.run_id.clone(),
                logical_date: row.logical_date,
                cause: row.cause.clone(),
            };
            if self.runs.contains_key(&row.run) || self.conflicting(row.dag, &key).is_some() {
                return Err(refused(format!("run {} is there already", row.run)));
            }
        }
        let is_held = |number: &i64| {
            let mut all = self.streams.poison.iter();
            all.any(|one| {
                one.poison == *number && one.trigger == commit.trigger && one.state == "held"
            })
        };
        if !commit.retried.iter().all(is_held) {
            return Ok(Committed::Fenced);
        }
        for one in &mut self.streams.poison {
            if commit.retried.contains(&one.poison) {
                one.state = "retried".to_string();
            }
        }
        for cut in &commit.cuts {
            self.streams
                .move_to(commit.trigger, commit.replay, cut, commit.now);
        }
        for run in &commit.runs {
            self.last_run = self.last_run.max(run.row.run.0);
            self.runs.insert(run.row.run, run.row.clone());
            let kept = (run.batch.clone(), run.records.clone());
            self.streams.batches.insert(run.row.run, kept);
        }
        for poison in &commit.poison {
            let number = self.streams.poison.len() as i64 + 1;
            let kept = kept_poison(number, commit.trigger, commit.replay, commit.now, poison);
            self.streams.poison.push(kept);
        }
        for seen in &commit.seen {
            let key = (commit.trigger, seen.hash);
            self.streams.seen.insert(key, seen.clone());
        }
        Ok(Committed::Done)
    }

    fn open_batches(&self) -> impl Iterator<Item = &BatchRecord> {
        let batches = self.streams.batches.values().map(|(batch, _)| batch);
        batches.filter(|batch| {
            let run = self.runs.get(&batch.run);
            run.is_some_and(|run| !run.state.is_terminal())
        })
    }
}

#[async_trait]
impl StreamStore for MemoryStore {
    async fn put_trigger(
        &self,
        dag: DagNo,
        name: &str,
        now: Ts,
    ) -> Result<TriggerRecord, StoreError> {
        let mut tables = self.lock();
        let Some(dag_id) = tables.dags.get(&dag).map(|dag| dag.dag_id.clone()) else {
            return Err(refused(format!("DAG {dag} is not there")));
        };
        let triggers = &mut tables.streams.triggers;
        let known = triggers
            .values()
            .find(|known| known.dag == dag && known.name == name);
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let record = TriggerRecord {
            trigger: TriggerNo(triggers.len() as i64 + 1),
            dag,
            dag_id,
            name: name.to_string(),
            is_paused: false,
            created_at: now,
        };
        triggers.insert(record.trigger, record.clone());
        Ok(record)
    }

    async fn triggers(&self) -> Result<Vec<TriggerRecord>, StoreError> {
        let mut all: Vec<_> = self.lock().streams.triggers.values().cloned().collect();
        all.sort_by(|a, b| (&a.dag_id, &a.name).cmp(&(&b.dag_id, &b.name)));
        Ok(all)
    }

    async fn pause_trigger(&self, trigger: TriggerNo, is_paused: bool) -> Result<(), StoreError> {
        if let Some(known) = self.lock().streams.triggers.get_mut(&trigger) {
            known.is_paused = is_paused;
        }
        Ok(())
    }

    async fn cursors(&self, trigger: TriggerNo, replay: i64) -> Result<Vec<Cursor>, StoreError> {
        let tables = self.lock();
        let cursors = tables.streams.cursors.iter();
        let of_it = cursors.filter(|((of, no, _), _)| *of == trigger && *no == replay);
        Ok(of_it.map(|(_, cursor)| cursor.clone()).collect())
    }

    async fn begin_cursors(&self, term: i64, cursors: &[Cursor]) -> Result<(), StoreError> {
        let mut tables = self.lock();
        tables.check_term(term)?;
        for cursor in cursors {
            if !tables.streams.triggers.contains_key(&cursor.trigger) {
                return Err(refused(format!("trigger {} is not there", cursor.trigger)));
            }
        }
        for cursor in cursors {
            let key = (cursor.trigger, cursor.replay, cursor.partition.clone());
            let fresh = Cursor {
                counts: Counts {
                    lost: cursor.counts.lost,
                    ..Counts::default()
                },
                ..cursor.clone()
            };
            tables.streams.cursors.entry(key).or_insert(fresh);
        }
        Ok(())
    }

    async fn seek(
        &self,
        term: i64,
        trigger: TriggerNo,
        replay: i64,
        cuts: &[Cut],
        now: Ts,
    ) -> Result<Committed, StoreError> {
        let mut tables = self.lock();
        tables.check_term(term)?;
        if !tables.streams.fit(trigger, replay, cuts) {
            return Ok(Committed::Fenced);
        }
        for cut in cuts {
            tables.streams.move_to(trigger, replay, cut, now);
            let key = (trigger, replay, cut.partition.clone());
            if let Some(cursor) = tables.streams.cursors.get_mut(&key) {
                cursor.generation += 1;
            }
        }
        Ok(Committed::Done)
    }

    async fn commit_stream(&self, commit: &StreamCommit) -> Result<Committed, StoreError> {
        self.lock().commit_stream(commit)
    }

    async fn open_runs(&self, trigger: TriggerNo, replay: i64) -> Result<i64, StoreError> {
        let tables = self.lock();
        let open = tables.open_batches();
        let of_it = open.filter(|batch| batch.trigger == trigger && batch.replay == replay);
        Ok(of_it.count() as i64)
    }

    async fn run_ids_taken(&self, dag: DagNo, names: &[String]) -> Result<Vec<String>, StoreError> {
        let tables = self.lock();
        let of_dag = tables.runs.values().filter(|run| run.dag == dag);
        let taken = of_dag.filter(|run| names.contains(&run.run_id));
        Ok(taken.map(|run| run.run_id.clone()).collect())
    }

    async fn batch(&self, run: RunNo) -> Result<Option<BatchRecord>, StoreError> {
        let tables = self.lock();
        Ok(tables
            .streams
            .batches
            .get(&run)
            .map(|(batch, _)| batch.clone()))
    }

    async fn batches(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<BatchRecord>, StoreError> {
        let tables = self.lock();
        let newest = tables
            .streams
            .batches
            .values()
            .rev()
            .map(|(batch, _)| batch);
        let of_it = newest.filter(|batch| batch.trigger == trigger);
        Ok(of_it.take(limit as usize).cloned().collect())
    }

    async fn records(&self, run: RunNo) -> Result<Option<Vec<u8>>, StoreError> {
        let tables = self.lock();
        let batch = tables.streams.batches.get(&run);
        Ok(batch.map(|(_, records)| records.clone()))
    }

    async fn open_batches(&self) -> Result<Vec<BatchRecord>, StoreError> {
        Ok(self.lock().open_batches().cloned().collect())
    }

    async fn seen(
        &self,
        trigger: TriggerNo,
        hashes: &[[u8; 32]],
        now: Ts,
    ) -> Result<Vec<SeenKey>, StoreError> {
        let tables = self.lock();
        let seen = hashes
            .iter()
            .filter_map(|hash| tables.streams.seen.get(&(trigger, *hash)));
        Ok(seen.filter(|seen| seen.expires_at > now).cloned().collect())
    }

    async fn quarantine(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<PoisonRecord>, StoreError> {
        let tables = self.lock();
        let newest = tables.streams.poison.iter().rev();
        let held = newest.filter(|one| one.trigger == trigger && one.state == "held");
        Ok(held.take(limit as usize).cloned().collect())
    }

    async fn drop_poison(&self, trigger: TriggerNo, poison: i64) -> Result<bool, StoreError> {
        let mut tables = self.lock();
        let mut all = tables.streams.poison.iter_mut();
        let found =
            all.find(|one| one.trigger == trigger && one.poison == poison && one.state == "held");
        let Some(found) = found else { return Ok(false) };
        found.state = "dropped".to_string();
        (found.key, found.value) = (None, None);
        Ok(true)
    }

    async fn unsent_poison(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<PoisonRecord>, StoreError> {
        let tables = self.lock();
        let all = tables.streams.poison.iter();
        let unsent = all
            .filter(|one| one.trigger == trigger && one.sent_at.is_none() && one.state == "held");
        Ok(unsent.take(limit as usize).cloned().collect())
    }

    async fn mark_sent(&self, poison: &[i64], now: Ts) -> Result<(), StoreError> {
        let mut tables = self.lock();
        let all = tables.streams.poison.iter_mut();
        all.filter(|one| poison.contains(&one.poison))
            .for_each(|one| one.sent_at = Some(now));
        Ok(())
    }

    async fn held_poison(
        &self,
        trigger: TriggerNo,
        poison: i64,
    ) -> Result<Option<PoisonRecord>, StoreError> {
        let tables = self.lock();
        let mut all = tables.streams.poison.iter();
        let found =
            all.find(|one| one.trigger == trigger && one.poison == poison && one.state == "held");
        Ok(found.cloned())
    }

    async fn gaps(&self, trigger: TriggerNo, limit: u32) -> Result<Vec<GapRecord>, StoreError> {
        let tables = self.lock();
        let newest = tables.streams.gaps.iter().rev();
        let of_it = newest.filter(|one| one.trigger == trigger);
        Ok(of_it.take(limit as usize).cloned().collect())
    }

    async fn blocks(&self) -> Result<Vec<LaneBlock>, StoreError> {
        Ok(self.lock().streams.blocks.values().cloned().collect())
    }

    async fn begin_replay(
        &self,
        term: i64,
        trigger: TriggerNo,
        wish: &serde_json::Value,
        cursors: &[Cursor],
        now: Ts,
    ) -> Result<i64, StoreError> {
        let mut tables = self.lock();
        tables.check_term(term)?;
        if !tables.streams.triggers.contains_key(&trigger) {
            return Err(refused(format!("trigger {trigger} is not there")));
        }
        let streams = &mut tables.streams;
        let replay = streams.replays.len() as i64 + 1;
        streams.replays.push(ReplayRecord {
            replay,
            trigger,
            wish: wish.clone(),
            state: "running".to_string(),
            created_at: now,
            ended_at: None,
        });
        for cursor in cursors {
            let key = (trigger, replay, cursor.partition.clone());
            let fresh = Cursor {
                replay,
                counts: Counts::default(),
                ..cursor.clone()
            };
            streams.cursors.insert(key, fresh);
        }
        Ok(replay)
    }

    async fn replays(
        &self,
        trigger: TriggerNo,
        limit: u32,
    ) -> Result<Vec<ReplayRecord>, StoreError> {
        let tables = self.lock();
        let newest = tables.streams.replays.iter().rev();
        let of_it = newest.filter(|one| one.trigger == trigger);
        Ok(of_it.take(limit as usize).cloned().collect())
    }

    async fn open_replays(&self) -> Result<Vec<ReplayRecord>, StoreError> {
        let tables = self.lock();
        let all = tables.streams.replays.iter();
        Ok(all.filter(|one| one.state == "running").cloned().collect())
    }

    async fn end_replay(
        &self,
        term: i64,
        replay: i64,
        state: &str,
        now: Ts,
    ) -> Result<bool, StoreError> {
        let mut tables = self.lock();
        tables.check_term(term)?;
        let mut all = tables.streams.replays.iter_mut();
        let Some(one) = all.find(|one| one.replay == replay && one.state == "running") else {
            return Ok(false);
        };
        one.state = state.to_string();
        one.ended_at = Some(now);
        Ok(true)
    }
}

fn kept_poison(
    number: i64,
    trigger: TriggerNo,
    replay: i64,
    at: Ts,
    poison: &NewPoison,
) -> PoisonRecord {
    let poison = poison.clone();
    PoisonRecord {
        poison: number,
        trigger,
        replay,
        partition: poison.partition,
        offset: poison.offset,
        timestamp: poison.timestamp,
        class: poison.class,
        message: poison.message,
        key: poison.key,
        value: poison.value,
        headers: poison.headers,
        state: "held".to_string(),
        sent_at: None,
        created_at: at,
    }
}
