//! Runs whose rows are set by chance, and the limits that they are under.

use crate::support::{self, Chance, Sketch};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_model::dag::{Dag, Operator, Task};
use tidemill_model::{
    DagNo, RunNo, RunRow, RunState, RunType, TaskIndex, TaskNo, TaskState, Ts, VersionNo,
    WeightRule,
};
use tidemill_scheduler::{Admission, Place, PoolLimit, Run};

/// A task that waits for nothing, in the default pool.
pub fn task(id: &str) -> Task {
    Task {
        operator: Operator::Empty,
        weight_rule: WeightRule::Absolute,
        ..support::task(id)
    }
}

/// A DAG without edges.
pub fn dag(id: &str, max_active_tasks: u32, tasks: Vec<Task>) -> Arc<Dag> {
    let sketch = Sketch {
        tasks,
        ..Sketch::default()
    };
    Arc::new(Dag {
        id: id.to_string(),
        max_active_runs: 16,
        max_active_tasks,
        ..sketch.build()
    })
}

/// A run of it in which nothing has happened.
pub fn run(no: i64, dag_no: i64, dag: &Arc<Dag>) -> Run {
    let task_nos: Vec<TaskNo> = (1..=dag.tasks.len() as i32).map(TaskNo).collect();
    let row = RunRow {
        run: RunNo(no),
        dag: DagNo(dag_no),
        run_id: format!("manual__{no}"),
        run_type: RunType::Manual,
        state: RunState::Running,
        version: VersionNo(1),
        cause: None,
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        run_after: Ts(no % 3),
        queued_at: Ts(0),
        started_at: None,
        ended_at: None,
        conf: tidemill_model::Json::Null,
        triggered_by: None,
        note: None,
        reason: None,
        retries_used: 0,
    };
    Run::new(row, Arc::clone(dag), &task_nos, Vec::new())
}

pub fn pool(name: &str, slots: i64) -> PoolLimit {
    PoolLimit {
        name: name.to_string(),
        slots,
        include_deferred: false,
    }
}

/// Some runs, and an admission that follows their rows.
pub struct World {
    pub chance: Chance,
    pub now: Ts,
    pub slots: u32,
    pub pools: Vec<PoolLimit>,
    /// Worker queues without room.
    pub closed: BTreeSet<String>,
    pub runs: Vec<Run>,
    pub admission: Admission,
}

impl World {
    pub fn new(slots: u32, pools: Vec<PoolLimit>, runs: Vec<Run>) -> World {
        let mut admission = Admission::new(slots);
        admission.set_pools(&pools);
        World {
            chance: Chance(0),
            now: Ts(1_000),
            slots,
            pools,
            closed: BTreeSet::new(),
            runs,
            admission,
        }
    }

    pub fn random(seed: u64) -> World {
        let mut chance = Chance(seed);
        let mut runs = Vec::new();
        for dag_no in 1..=3 {
            let tasks = (0..8).map(|at| random_task(&mut chance, at)).collect();
            let dag = dag(&format!("d{dag_no}"), 1 + chance.below(6) as u32, tasks);
            for no in 0..3 {
                runs.push(run(dag_no * 10 + no, dag_no, &dag));
            }
        }
        let slots = 2 + chance.below(10) as u32;
        let pools = random_pools(&mut chance);
        World {
            chance,
            ..World::new(slots, pools, runs)
        }
    }

    /// Changes a row, and lets the admission see it.
    pub fn set(&mut self, run: usize, at: u32, state: TaskState) {
        let row = &mut self.runs[run].tasks[at as usize];
        row.state = state;
        // One that is deferred may be with its worker still.
        let is_with_worker = match state {
            TaskState::Running => true,
            TaskState::Deferred => self.chance.once_in(2),
            _ => false,
        };
        row.worker = is_with_worker.then_some(1);
        self.now = Ts(self.now.0 + 1);
        match state {
            TaskState::Scheduled => row.scheduled_at = Some(self.now),
            // A worker may take what was given to it much later.
            TaskState::Running => {
                let later = Ts(self.now.0 + 10);
                let instants = [
                    (Some(self.now), Some(later)),
                    (None, Some(self.now)),
                    (None, None),
                ];
                (row.queued_at, row.started_at) = *self.chance.pick(&instants);
            }
            _ => {}
        }
        self.admission.follow(&self.runs[run], TaskIndex(at));
    }

    /// One change by chance; grants are not among them.
    pub fn act(&mut self) {
        let run = self.chance.below(self.runs.len() as u64) as usize;
        let at = self.chance.below(8) as u32;
        let state = self.runs[run].tasks[at as usize].state;
        let next = match (state, self.chance.below(8)) {
            (TaskState::None, _) => TaskState::Scheduled,
            (TaskState::Scheduled, 0) => TaskState::None,
            (TaskState::Running, 0..3) => TaskState::None,
            (TaskState::Running, 3) => TaskState::Deferred,
            (TaskState::Deferred, 0..4) => TaskState::Scheduled,
            (_, 6) if self.chance.below(10) == 0 => return self.turn_workers(),
            (_, 7) if self.chance.below(10) == 0 => {
                self.pools = random_pools(&mut self.chance);
                self.admission.set_pools(&self.pools);
                return;
            }
            (state, _) => {
                // Following a row that has not changed is nothing.
                self.set_same(run, at, state);
                return;
            }
        };
        self.set(run, at, next);
    }

    /// The workers of a queue have no room any more, or have again.
    fn turn_workers(&mut self) {
        let had_none = self.closed.remove("gpu");
        if !had_none {
            self.closed.insert("gpu".to_string());
        }
        self.admission.set_room("gpu", had_none);
    }

    fn set_same(&mut self, run: usize, at: u32, state: TaskState) {
        assert_eq!(self.runs[run].tasks[at as usize].state, state);
        self.admission.follow(&self.runs[run], TaskIndex(at));
    }

    /// Gives the next slot away, as the engine does.
    pub fn grant(&mut self) -> Option<Place> {
        let (run_no, at) = self.admission.admit()?;
        let run = self.runs.iter().position(|run| run.row.run == run_no);
        self.set(run.unwrap(), at.0, TaskState::Running);
        Some((run_no, at))
    }
}

fn random_task(chance: &mut Chance, at: u64) -> Task {
    let limit = |chance: &mut Chance| *chance.pick(&[None, None, Some(1), Some(2)]);
    Task {
        pool: chance
            .pick(&["default_pool", "small", "nowhere"])
            .to_string(),
        queue: chance.pick(&["default", "default", "gpu"]).to_string(),
        pool_slots: *chance.pick(&[1, 1, 1, 2, 3]),
        total_weight: chance.below(4) as i64,
        max_active_tis_per_dag: limit(chance),
        max_active_tis_per_dagrun: limit(chance),
        ..task(&format!("t{at}"))
    }
}

fn random_pools(chance: &mut Chance) -> Vec<PoolLimit> {
    let mut pools = vec![pool("default_pool", chance.below(12) as i64 - 1)];
    pools[0].include_deferred = chance.below(2) == 0;
    if chance.below(5) > 0 {
        pools.push(pool("small", chance.below(5) as i64));
    }
    pools
}
