//! Workers on the maps: what the shared stores must do with them.

use super::{MemoryStore, Tables, refused};
use crate::record::*;
use crate::worker::*;
use crate::{PageStore, StoreError};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tidemill_model::{Attempt, DagNo, MapItem, Reason, RunNo, TaskNo, TaskState, Ts, VersionNo};

/// The `worker` of an attempt that nobody may claim any more.
const WITHDRAWN: i64 = -1;

/// What is told between scheduler and workers.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    workers: BTreeMap<i64, Held>,
    last_worker: i64,
    dispatch: BTreeMap<Attempt, (Dispatch, i64)>,
    reports: BTreeMap<Attempt, WorkerReport>,
    kills: BTreeMap<Attempt, Kill>,
}

#[derive(Debug)]
struct Held {
    record: WorkerRecord,
    lease: Duration,
    renewed: Instant,
}

impl Held {
    fn is_over(&self) -> bool {
        self.renewed.elapsed() > self.lease
    }
}

fn store_now() -> Ts {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Ts(since.map_or(0, |since| since.as_micros() as i64))
}

impl Exchange {
    /// What a pass says to workers and about them.
    pub(super) fn apply(&mut self, pass: &Pass) {
        for dispatch in &pass.dispatches {
            let entry = (dispatch.clone(), UNCLAIMED);
            self.dispatch.insert(dispatch.attempt, entry);
        }
        for kill in &pass.kills {
            self.kills.insert(kill.attempt, kill.clone());
        }
        for attempt in &pass.claimed {
            self.dispatch.remove(attempt);
        }
        for attempt in &pass.settled {
            self.dispatch.remove(attempt);
            self.reports.remove(attempt);
            self.kills.remove(attempt);
        }
    }

    /// Unclaimed attempts that are to end: nobody can claim them any more.
    fn withdraw(&mut self) -> Vec<Attempt> {
        let mut withdrawn = Vec::new();
        for (attempt, (_, worker)) in &mut self.dispatch {
            if *worker == UNCLAIMED && self.kills.contains_key(attempt) {
                *worker = WITHDRAWN;
            }
            if *worker == WITHDRAWN {
                withdrawn.push(*attempt);
            }
        }
        withdrawn
    }

    fn claim(&mut self, worker: i64, limit: u32) -> Vec<Dispatch> {
        let Some(held) = self.workers.get(&worker) else {
            return Vec::new();
        };
        if held.is_over() || held.record.is_draining {
            return Vec::new();
        }
        let mut free: Vec<Dispatch> = self
            .dispatch
            .values()
            .filter(|(dispatch, holder)| {
                *holder == UNCLAIMED
                    && held.record.queues.contains(&dispatch.queue)
                    && !self.kills.contains_key(&dispatch.attempt)
            })
            .map(|(dispatch, _)| dispatch.clone())
            .collect();
        free.sort_by_key(|dispatch| (std::cmp::Reverse(dispatch.priority), dispatch.attempt));
        free.truncate(limit as usize);
        for dispatch in &free {
            if let Some((_, holder)) = self.dispatch.get_mut(&dispatch.attempt) {
                *holder = worker;
            }
        }
        free
    }

    fn kills_of(&self, worker: i64) -> Vec<(Attempt, Reason)> {
        let holds = |kill: &&Kill| {
            let claimed = self.dispatch.get(&kill.attempt).map(|(_, holder)| *holder);
            kill.worker == worker || claimed == Some(worker)
        };
        self.kills
            .values()
            .filter(holds)
            .map(|kill| (kill.attempt, kill.reason))
            .collect()
    }
}

impl Tables {
    fn map_item(&self, attempt: Attempt) -> Option<Box<MapItem>> {
        let key = (attempt.run, attempt.task_no, attempt.map_index);
        self.tasks.get(&key)?.map_item.clone()
    }

    fn claims(&mut self, worker: i64, limit: u32) -> Result<Vec<Claim>, StoreError> {
        let dispatches = self.exchange.claim(worker, limit).into_iter();
        dispatches
            .map(|dispatch| self.claim_of(&dispatch))
            .collect()
    }

    fn claim_of(&self, dispatch: &Dispatch) -> Result<Claim, StoreError> {
        let claim = self.claim(dispatch.attempt, dispatch.version, dispatch.try_number)?;
        Ok(Claim {
            sealed: dispatch.sealed.clone(),
            is_whole: true,
            ..claim
        })
    }

    fn claim(
        &self,
        attempt: Attempt,
        version: VersionNo,
        try_number: i32,
    ) -> Result<Claim, StoreError> {
        let run = self.runs.get(&attempt.run);
        let run = run.ok_or_else(|| refused("a run of an attempt is not there"))?;
        let dag = self.dags.get(&run.dag);
        Ok(Claim {
            attempt,
            version,
            try_number,
            sealed: None,
            is_whole: false,
            dag_id: dag.map(|dag| dag.dag_id.clone()).unwrap_or_default(),
            run: run.clone(),
            map_item: self.map_item(attempt),
        })
    }

    /// What a worker has, also when a pass has taken its claim in already.
    fn held(&self, worker: i64) -> Result<Vec<Claim>, StoreError> {
        let claimed = self.exchange.dispatch.values();
        let claimed = claimed
            .filter(|(_, holder)| *holder == worker)
            .map(|(dispatch, _)| self.claim_of(dispatch));
        let mine = self
            .tasks
            .values()
            .filter(|task| task.worker == Some(worker));
        let applied = mine.filter_map(|task| {
            let run = self.runs.get(&task.run)?;
            let attempt = Attempt {
                run: task.run,
                task_no: task.task_no,
                map_index: task.map_index,
                epoch: task.epoch,
            };
            (!run.state.is_terminal()).then(|| self.claim(attempt, run.version, task.try_number))
        });
        let mut held: Vec<Claim> = claimed.chain(applied).collect::<Result<_, _>>()?;
        held.retain(|claim| !self.exchange.reports.contains_key(&claim.attempt));
        held.sort_by_key(|claim| claim.attempt);
        Ok(held)
    }
}

#[async_trait]
impl DispatchStore for MemoryStore {
    async fn arrivals(&self, limit: u32) -> Result<Arrivals, StoreError> {
        let exchange = &mut self.lock().exchange;
        let limit = limit as usize;
        let withdrawn = exchange.withdraw();
        let claims = exchange
            .dispatch
            .values()
            .filter(|(_, worker)| *worker > UNCLAIMED)
            .map(|(dispatch, worker)| (dispatch.attempt, *worker));
        Ok(Arrivals {
            claims: claims.take(limit).collect(),
            reports: exchange.reports.values().take(limit).cloned().collect(),
            withdrawn,
        })
    }

    async fn dispatched(&self) -> Result<Vec<(Attempt, i64)>, StoreError> {
        let tables = self.lock();
        let dispatch = tables.exchange.dispatch.values();
        Ok(dispatch
            .map(|(dispatch, worker)| (dispatch.attempt, *worker))
            .collect())
    }

    async fn expire_workers(&self) -> Result<Vec<i64>, StoreError> {
        let workers = &mut self.lock().exchange.workers;
        let over = workers.iter().filter(|(_, held)| held.is_over());
        let over: Vec<i64> = over.map(|(worker, _)| *worker).collect();
        workers.retain(|worker, _| !over.contains(worker));
        Ok(over)
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
        let tables = self.lock();
        let workers = tables.exchange.workers.values();
        Ok(workers.map(|held| held.record.clone()).collect())
    }

    async fn set_draining(&self, worker: i64, is_draining: bool) -> Result<bool, StoreError> {
        let workers = &mut self.lock().exchange.workers;
        let held = workers.get_mut(&worker);
        Ok(held
            .map(|held| held.record.is_draining = is_draining)
            .is_some())
    }

    async fn heartbeat(&self) -> Result<Option<Ts>, StoreError> {
        Ok((self.lock().term > 0).then(store_now))
    }
}

#[async_trait]
impl WorkerStore for MemoryStore {
    async fn enter(&self, worker: &NewWorker) -> Result<i64, StoreError> {
        let exchange = &mut self.lock().exchange;
        exchange.last_worker += 1;
        let number = exchange.last_worker;
        let now = store_now();
        let record = WorkerRecord {
            worker: number,
            host: worker.host.clone(),
            pid: worker.pid,
            slots: worker.slots,
            queues: worker.queues.clone(),
            logs: worker.logs.clone(),
            is_draining: false,
            started_at: now,
            seen_at: now,
        };
        let held = Held {
            record,
            lease: worker.lease,
            renewed: Instant::now(),
        };
        exchange.workers.insert(number, held);
        Ok(number)
    }

    async fn renew(&self, worker: i64) -> Result<Renewal, StoreError> {
        let exchange = &mut self.lock().exchange;
        let Some(held) = exchange.workers.get_mut(&worker) else {
            return Ok(Renewal::default());
        };
        if held.is_over() {
            return Ok(Renewal::default());
        }
        held.renewed = Instant::now();
        held.record.seen_at = store_now();
        Ok(Renewal {
            is_alive: true,
            is_draining: held.record.is_draining,
        })
    }

    async fn kills(&self, worker: i64) -> Result<Vec<(Attempt, Reason)>, StoreError> {
        Ok(self.lock().exchange.kills_of(worker))
    }

    async fn claim(&self, worker: i64, limit: u32) -> Result<Vec<Claim>, StoreError> {
        self.lock().claims(worker, limit)
    }

    async fn held(&self, worker: i64) -> Result<Vec<Claim>, StoreError> {
        self.lock().held(worker)
    }

    async fn report(&self, reports: &[WorkerReport]) -> Result<(), StoreError> {
        let exchange = &mut self.lock().exchange;
        for report in reports {
            let entry = exchange.reports.entry(report.attempt);
            entry.or_insert_with(|| report.clone());
        }
        Ok(())
    }

    async fn definition(&self, version: VersionNo) -> Result<Option<VersionRecord>, StoreError> {
        PageStore::version(self, version).await
    }

    async fn task_states(
        &self,
        run: RunNo,
        tasks: &[TaskNo],
    ) -> Result<Vec<(TaskNo, TaskState)>, StoreError> {
        let rows = self.lock().tasks_of(run).into_iter();
        let rows = rows.filter(|task| tasks.contains(&task.task_no));
        Ok(rows.map(|task| (task.task_no, task.state)).collect())
    }

    async fn task_numbers(&self, dag: DagNo) -> Result<Vec<(TaskNo, String)>, StoreError> {
        PageStore::task_names(self, dag).await
    }

    async fn leave(&self, worker: i64) -> Result<(), StoreError> {
        self.lock().exchange.workers.remove(&worker);
        Ok(())
    }
}
