//! What a waiting instance asks for.

use super::queue::{Age, Turn};
use super::{LaneKey, PoolId, QueueId};
use crate::run::Run;
use std::cmp::Reverse;
use tidemill_model::{DagNo, TaskIndex, TaskNo};

/// An instance that wants a slot, and every limit that it is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub age: Age,
    pub pool: PoolId,
    pub width: u32,
    pub queue: QueueId,
    pub dag: DagNo,
    pub task_no: TaskNo,
    pub per_dag: Option<u32>,
    pub per_run: Option<u32>,
    pub run_max: u32,
}

impl Demand {
    pub(super) fn lane(&self) -> LaneKey {
        (self.age.turn.run, self.pool, self.width, self.queue)
    }

    pub(super) fn is_limited(&self) -> bool {
        self.per_dag.is_some() || self.per_run.is_some()
    }
}

/// What a waiting instance asks for.
pub(super) fn demand(run: &Run, at: TaskIndex, pool: PoolId, queue: QueueId) -> Demand {
    let (row, task) = (&run.tasks[at.at()], run.task(at));
    let since = row.scheduled_at.unwrap_or(run.row.queued_at);
    Demand {
        age: Age {
            run_since: since,
            since,
            turn: Turn {
                weight: Reverse(task.total_weight),
                date: run.row.logical_date.unwrap_or(run.row.run_after),
                map_index: row.map_index,
                run: run.row.run,
                task: at,
            },
        },
        pool,
        width: task.pool_slots,
        queue,
        dag: run.row.dag,
        task_no: row.task_no,
        per_dag: task.max_active_tis_per_dag,
        per_run: task.max_active_tis_per_dagrun,
        run_max: run.dag.max_active_tasks,
    }
}
