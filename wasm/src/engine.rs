//! The engines that all modules share: one that counts fuel and one that does not, a clock that
//! only goes while modules run, and threads for them.

use crate::limit::TABLE_MAX;
use crate::run::{Failure, Why};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

/// A module gives its thread to others after so long.
const TICK: Duration = Duration::from_millis(10);
/// Modules that can run at once; more wait.
pub(crate) const RUNNING_MAX: u32 = 64;
/// Stack of a module, in bytes.
const STACK_MAX: usize = 512 << 10;
/// Stack of a module and of what it calls in the host.
const WHOLE_STACK: usize = 2 << 20;
/// Memory of an instance's slot in the pool that stays with it for the next one.
const KEEP_RESIDENT: usize = 64 << 10;

/// The engines, each made when it is first needed.
#[derive(Default)]
pub(crate) struct Engines {
    plain: OnceLock<Result<Shared, String>>,
    fuelled: OnceLock<Result<Shared, String>>,
    threads: OnceLock<Result<Threads, String>>,
}

/// An engine with its clock and its turns.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) is_fuelled: bool,
    pub(crate) turns: Arc<tokio::sync::Semaphore>,
    clock: Arc<Clock>,
}

impl Engines {
    pub(crate) fn engine(&self, is_fuelled: bool) -> Result<Shared, Failure> {
        let place = if is_fuelled {
            &self.fuelled
        } else {
            &self.plain
        };
        let made = place.get_or_init(|| Shared::new(is_fuelled).map_err(|err| format!("{err:#}")));
        made.clone()
            .map_err(|what| Failure::new(Why::Host, format!("cannot start wasmtime: {what}")))
    }

    /// A thread for each processor, for modules alone: one that computes keeps nobody else waiting.
    pub(crate) fn threads(&self) -> Result<Handle, Failure> {
        let made = self.threads.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .thread_name("wasm")
                .enable_all()
                .build();
            runtime
                .map(|runtime| Threads(Some(runtime)))
                .map_err(|err| err.to_string())
        });
        match made {
            Ok(Threads(Some(runtime))) => Ok(runtime.handle().clone()),
            Ok(Threads(None)) => Err(Failure::new(Why::Host, "the runtime is ending")),
            Err(what) => Err(Failure::new(
                Why::Host,
                format!("cannot start threads: {what}"),
            )),
        }
    }
}

/// The threads; their end waits for nobody.
struct Threads(Option<tokio::runtime::Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn new(is_fuelled: bool) -> wasmtime::Result<Shared> {
        // A machine that has no room for a pool of addresses makes each instance by itself.
        let engine = Engine::new(&config(is_fuelled, true))
            .or_else(|_| Engine::new(&config(is_fuelled, false)))?;
        let clock = Arc::new(Clock::default());
        let (ticks, ticked) = (Arc::downgrade(&clock), engine.weak());
        std::thread::Builder::new()
            .name("wasm-clock".to_string())
            .spawn(move || {
                while let Some(clock) = ticks.upgrade() {
                    clock.wait();
                    drop(clock);
                    std::thread::sleep(TICK);
                    match ticked.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })?;
        Ok(Shared {
            engine,
            is_fuelled,
            turns: Arc::new(tokio::sync::Semaphore::new(RUNNING_MAX as usize)),
            clock,
        })
    }

    /// Keeps the clock going for as long as it is held.
    pub(crate) fn running(&self) -> Running {
        *self.clock.count() += 1;
        self.clock.began.notify_one();
        Running(Arc::clone(&self.clock))
    }
}

/// How many modules run. While none does, nothing wakes up.
#[derive(Default)]
struct Clock {
    n_running: Mutex<usize>,
    began: Condvar,
}

impl Clock {
    fn count(&self) -> std::sync::MutexGuard<'_, usize> {
        self.n_running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let count = self.count();
        // Looks up now and then, to end with its engine.
        let waited = self
            .began
            .wait_timeout_while(count, Duration::from_secs(60), |n| *n == 0);
        drop(waited);
    }
}

/// A module that runs.
pub(crate) struct Running(Arc<Clock>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.count() -= 1;
    }
}

/// The same settings here and in the process that compiles: code made with others is not taken.
pub(crate) fn config(is_fuelled: bool, is_pooled: bool) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .consume_fuel(is_fuelled)
        .max_wasm_stack(STACK_MAX)
        .async_stack_size(WHOLE_STACK)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_component_model(true);
    if is_pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    }
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(8 * RUNNING_MAX)
        .total_component_instances(RUNNING_MAX)
        .total_memories(2 * RUNNING_MAX)
        .total_tables(4 * RUNNING_MAX)
        .total_stacks(RUNNING_MAX)
        .max_memories_per_component(2)
        .max_tables_per_component(4)
        .max_core_instances_per_component(8)
        .table_elements(TABLE_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT);
    pool
}
