//! Pools: those of the configuration file, those that people have set, and how they are used.

use super::Engine;
use std::collections::BTreeMap;
use tidemill_model::dag::{DEFAULT_POOL, DEFAULT_POOL_SLOTS, is_pool_name};
use tidemill_model::{MapIndex, TaskIndex};
use tidemill_scheduler::{Place, PoolLimit};
use tidemill_store::{Answer, Holder, PoolChange, PoolRecord, PoolState, Refusal};

/// Holders of a pool that one answer names.
const HOLDERS_MAX: usize = 100;

/// The most slots of a pool.
const SLOTS_MAX: i64 = 1_000_000;

/// A pool without limit, for `tidemill run`, where nobody else asks for its slots.
pub fn open_pool(name: &str) -> PoolRecord {
    PoolRecord {
        name: name.to_string(),
        slots: -1,
        description: String::new(),
        include_deferred: false,
        from_file: true,
    }
}

impl Engine {
    /// Takes in the stored pools; those of the file are as the file says, and no others are its.
    pub(super) fn resume_pools(&mut self, stored: Vec<PoolRecord>) {
        let of_file: BTreeMap<String, PoolRecord> = self
            .options
            .pools
            .iter()
            .map(|pool| (pool.name.clone(), pool.clone()))
            .collect();
        for pool in stored {
            if pool.from_file && !of_file.contains_key(&pool.name) {
                self.draft.rows.dropped_pools.push(pool.name);
            } else {
                self.pools.insert(pool.name.clone(), pool);
            }
        }
        for (name, pool) in of_file {
            if self.pools.get(&name) != Some(&pool) {
                self.keep_pool(pool);
            }
        }
        if !self.pools.contains_key(DEFAULT_POOL) {
            self.keep_pool(PoolRecord {
                name: DEFAULT_POOL.to_string(),
                slots: DEFAULT_POOL_SLOTS,
                description: "Tasks that name no pool".to_string(),
                include_deferred: false,
                from_file: false,
            });
        }
        self.limit_pools();
    }

    /// The file says something else than at the start.
    pub(super) fn declare_pools(&mut self, of_file: Vec<PoolRecord>) {
        self.options.pools = of_file;
        let known = std::mem::take(&mut self.pools);
        self.resume_pools(known.into_values().collect());
    }

    fn keep_pool(&mut self, pool: PoolRecord) {
        let rows = &mut self.draft.rows;
        rows.dropped_pools.retain(|name| *name != pool.name);
        rows.pools.retain(|other| other.name != pool.name);
        rows.pools.push(pool.clone());
        self.pools.insert(pool.name.clone(), pool);
    }

    fn limit_pools(&mut self) {
        let limits = self.pools.values().map(|pool| PoolLimit {
            name: pool.name.clone(),
            slots: pool.slots,
            include_deferred: pool.include_deferred,
        });
        let limits: Vec<PoolLimit> = limits.collect();
        self.admission.set_pools(&limits);
    }

    pub(super) fn set_pool(
        &mut self,
        name: &str,
        change: PoolChange,
        is_new: Option<bool>,
    ) -> Result<Answer, Refusal> {
        let known = self.pools.get(name).cloned();
        match (&known, is_new) {
            (Some(_), Some(true)) => return Err(conflict(format!("pool {name} exists already"))),
            (None, Some(false)) => return Err(no_pool(name)),
            (Some(pool), _) => refuse_of_file(pool)?,
            (None, _) if !is_pool_name(name) => {
                let what =
                    format!("`{name}` cannot be the name of a pool: A-Z a-z 0-9 _ . and - only");
                return Err(Refusal::Invalid { what });
            }
            (None, _) => {}
        }
        let old = known.unwrap_or_else(|| PoolRecord {
            from_file: false,
            slots: 1,
            ..open_pool(name)
        });
        let pool = PoolRecord {
            slots: change.slots.unwrap_or(old.slots),
            description: change.description.unwrap_or(old.description),
            include_deferred: change.include_deferred.unwrap_or(old.include_deferred),
            ..old
        };
        if !(-1..=SLOTS_MAX).contains(&pool.slots) {
            let what = format!("a pool has from 0 to {SLOTS_MAX} slots, or -1 for no limit");
            return Err(Refusal::Invalid { what });
        }
        self.keep_pool(pool);
        self.limit_pools();
        Ok(Answer::Done)
    }

    pub(super) fn delete_pool(&mut self, name: &str) -> Result<Answer, Refusal> {
        let pool = self.pools.get(name).ok_or_else(|| no_pool(name))?;
        refuse_of_file(pool)?;
        if name == DEFAULT_POOL {
            let what =
                format!("{DEFAULT_POOL} cannot be deleted: tasks that name no pool are in it");
            return Err(conflict(what));
        }
        self.pools.remove(name);
        let rows = &mut self.draft.rows;
        rows.pools.retain(|pool| pool.name != name);
        rows.dropped_pools.push(name.to_string());
        self.limit_pools();
        Ok(Answer::Done)
    }

    pub(super) fn tell_pools(&self) -> Answer {
        let uses = self.admission.pool_uses().into_iter();
        let states = uses.map(|used| {
            let holders = used.holders.iter().take(HOLDERS_MAX);
            let holders = holders
                .filter_map(|(place, slots, state)| Some((self.holder(*place, *slots)?, *state)));
            let missing = || PoolRecord {
                slots: 0,
                from_file: false,
                ..open_pool(&used.name)
            };
            PoolState {
                pool: self.pools.get(&used.name).cloned().unwrap_or_else(missing),
                exists: used.exists,
                n_running: used.n_live,
                n_deferred: used.n_deferred,
                n_waiting: used.n_waiting,
                n_occupied: used.n_occupied,
                holders: holders.collect(),
                more: used.holders.len().saturating_sub(HOLDERS_MAX),
            }
        });
        Answer::Pools(states.collect())
    }

    /// An instance by its names.
    pub(super) fn holder(&self, (run_no, at): Place, slots: u32) -> Option<Holder> {
        let run = self.runs.get(&run_no)?;
        Some(Holder {
            dag_id: run.dag.id.clone(),
            run_id: run.row.run_id.clone(),
            task_id: Some(run.task(at).id.clone()),
            map_index: map_index(run, at),
            slots: Some(slots),
        })
    }
}

fn map_index(run: &tidemill_scheduler::Run, at: TaskIndex) -> MapIndex {
    run.tasks[at.at()].map_index
}

fn refuse_of_file(pool: &PoolRecord) -> Result<(), Refusal> {
    if pool.from_file {
        let what = format!(
            "pool {} is declared in tidemill.toml: change it there, and send the server a hangup (`kill -HUP`)",
            pool.name
        );
        return Err(conflict(what));
    }
    Ok(())
}

fn conflict(what: String) -> Refusal {
    Refusal::Conflict { what }
}

fn no_pool(name: &str) -> Refusal {
    Refusal::NotFound {
        what: format!("there is no pool {name}; `tidemill pools list` shows those that there are"),
    }
}
