//! What tasks read of topics, on the maps.

use super::{MemoryStore, Tables, TaskKey, refused};
use crate::StoreError;
use crate::span::{Span, SpanOf, SpanStore};
use crate::stream::Partition;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use tidemill_model::{DagNo, MapIndex, RunNo, TaskNo, TaskState};

/// What is kept of spans.
#[derive(Debug, Default)]
pub(super) struct Spans {
    fixed: BTreeMap<(TaskKey, Partition), Span>,
    /// How far the successes of runs that are forgotten had read.
    positions: BTreeMap<(DagNo, TaskNo, MapIndex, Partition), i64>,
}

fn key(of: SpanOf) -> TaskKey {
    (of.run, of.task_no, of.map_index)
}

/// As the other stores order them.
fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|a, b| order(&a.partition).cmp(&order(&b.partition)));
    spans
}

fn order(partition: &Partition) -> (&str, i32, &str) {
    (
        &partition.topic,
        partition.partition,
        &partition.incarnation,
    )
}

impl Tables {
    fn spans_of(&self, of: SpanOf) -> Vec<Span> {
        let all = self.spans.fixed.iter();
        let mine = all.filter(|((task, _), _)| *task == key(of));
        sorted(mine.map(|(_, span)| span.clone()).collect())
    }

    /// The ends of spans whose tasks have succeeded, of all runs or of some.
    fn ends(&self) -> impl Iterator<Item = (RunNo, (DagNo, TaskNo, MapIndex, Partition), i64)> {
        self.spans.fixed.iter().filter_map(|((task, _), span)| {
            let dag = self.runs.get(&task.0)?.dag;
            let row = self.tasks.get(task)?;
            let end = span.end.filter(|_| row.state == TaskState::Success)?;
            Some((task.0, (dag, task.1, task.2, span.partition.clone()), end))
        })
    }

    /// Before runs are forgotten: how far they had read is not.
    pub(super) fn keep_positions(&mut self, going: &BTreeSet<RunNo>) {
        let ends: Vec<_> = self
            .ends()
            .filter(|(run, ..)| going.contains(run))
            .collect();
        for (_, place, end) in ends {
            let position = self.spans.positions.entry(place).or_insert(end);
            *position = end.max(*position);
        }
    }

    /// Runs are gone.
    pub(super) fn forget_spans(&mut self, gone: &[RunNo]) {
        self.spans
            .fixed
            .retain(|(task, _), _| !gone.contains(&task.0));
    }
}

#[async_trait]
impl SpanStore for MemoryStore {
    async fn spans(&self, of: SpanOf) -> Result<Vec<Span>, StoreError> {
        Ok(self.lock().spans_of(of))
    }

    async fn fix_spans(&self, of: SpanOf, spans: &[Span]) -> Result<Vec<Span>, StoreError> {
        let mut tables = self.lock();
        if !tables.runs.contains_key(&of.run) {
            return Err(refused(format!("run {} is not there", of.run)));
        }
        for span in spans {
            let place = (key(of), span.partition.clone());
            tables
                .spans
                .fixed
                .entry(place)
                .or_insert_with(|| span.clone());
        }
        Ok(tables.spans_of(of))
    }

    async fn read_up_to(&self, of: SpanOf) -> Result<Vec<(Partition, i64)>, StoreError> {
        let tables = self.lock();
        let Some(dag) = tables.runs.get(&of.run).map(|run| run.dag) else {
            return Ok(Vec::new());
        };
        let forgotten = tables.spans.positions.iter();
        let forgotten = forgotten.map(|(place, end)| (place.clone(), *end));
        let ends = tables.ends().map(|(_, place, end)| (place, end));
        let mut furthest: BTreeMap<Partition, i64> = BTreeMap::new();
        for ((dag_no, task_no, map_index, partition), end) in ends.chain(forgotten) {
            if (dag_no, task_no, map_index) == (dag, of.task_no, of.map_index) {
                let known = furthest.entry(partition).or_insert(end);
                *known = end.max(*known);
            }
        }
        let mut all: Vec<_> = furthest.into_iter().collect();
        all.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
        Ok(all)
    }
}
