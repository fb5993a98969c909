//! One run of one module, in a fresh instance that is dropped with all it held.

use crate::Request;
use crate::engine::Shared;
use crate::grant;
use crate::http::Gate;
use crate::limit::{Limits, Met, Watch};
use crate::module::Loaded;
use crate::output::Words;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, Trap};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Things of the host that a component may hold at once: files, streams, requests.
const HELD_MAX: usize = 10_000;

/// A module that has ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its exit status; 0 for one that returned.
    pub exit_code: i32,
    /// The fuel that it has used, where that was counted.
    pub fuel: Option<u64>,
    /// The host that it asked for without being allowed to, if it did.
    pub refused_host: Option<String>,
}

/// A module that was ended, or did not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of end.
    pub why: Why,
    /// One line for people.
    pub message: String,
}

/// Why a module was ended or did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It used all its fuel.
    Fuel,
    /// It wanted more memory than it may have.
    Memory,
    /// It wanted more entries of tables than it may have.
    Table,
    /// Its calls were too deep.
    Stack,
    /// It did something that no module may: a trap.
    Trap,
    /// Something that it was granted is not there.
    Grant,
    /// It is not a module that can be run here.
    Module,
    /// Compiling it takes too much.
    Compile,
    /// This machine lacks something.
    Host,
}

impl Failure {
    pub(crate) fn new(why: Why, message: impl Into<String>) -> Failure {
        Failure {
            why,
            message: message.into(),
        }
    }
}

/// Ends a task when it is dropped.
pub(crate) struct EndOnDrop<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> Drop for EndOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the host knows of an instance of a plain module.
pub(crate) struct CoreState {
    pub(crate) wasi: WasiP1Ctx,
    watch: Watch,
}

/// What the host knows of an instance of a component.
pub(crate) struct ComponentState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    gate: Gate,
    watch: Watch,
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for ComponentState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.gate,
        }
    }
}

/// Runs a module that was loaded.
pub(crate) async fn run(
    shared: &Shared,
    loaded: &Loaded,
    request: Request,
) -> Result<End, Failure> {
    let turn = shared.turns.acquire().await;
    let _turn = turn.map_err(|err| Failure::new(Why::Host, err.to_string()))?;
    let _running = shared.running();
    let Request {
        function,
        mut grants,
        limits,
        stdout,
        stderr,
        ..
    } = request;
    let mut wasi = grant::builder(&mut grants, Words(stdout), Words(stderr))?;
    match loaded {
        Loaded::Core(pre) => {
            let state = CoreState {
                wasi: wasi.build_p1(),
                watch: Watch::new(&limits),
            };
            let mut store = store(shared, state, &limits, |state| &mut state.watch)?;
            let ended = core(pre, &mut store, function.as_deref()).await;
            judge(ended, &store, &limits, store.data().watch.met, None)
        }
        Loaded::Component(pre) => {
            let gate = Gate::new(&grants.hosts);
            let mut table = ResourceTable::new();
            table.set_max_capacity(HELD_MAX);
            let state = ComponentState {
                wasi: wasi.build(),
                http: WasiHttpCtx::new(),
                table,
                gate: gate.clone(),
                watch: Watch::new(&limits),
            };
            let mut store = store(shared, state, &limits, |state| &mut state.watch)?;
            let ended = component(pre, &mut store, function.as_deref()).await;
            judge(
                ended,
                &store,
                &limits,
                store.data().watch.met,
                gate.refused(),
            )
        }
    }
}

fn store<T: 'static>(
    shared: &Shared,
    state: T,
    limits: &Limits,
    watch: fn(&mut T) -> &mut Watch,
) -> Result<Store<T>, Failure> {
    let mut store = Store::new(&shared.engine, state);
    store.limiter(move |state| watch(state));
    if let Some(fuel) = limits.fuel {
        store
            .set_fuel(fuel)
            .map_err(|err| Failure::new(Why::Host, format!("cannot count fuel: {err:#}")))?;
    }
    // At each tick it gives its thread to others, and ends if nobody waits for it any more.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    Ok(store)
}

/// Calls a function of a plain module; its number, if it returns one, is its exit status.
async fn core(
    pre: &wasmtime::InstancePre<CoreState>,
    store: &mut Store<CoreState>,
    function: Option<&str>,
) -> wasmtime::Result<i32> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let name = function.unwrap_or("_start");
    if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
        initialize.call_async(&mut *store, ()).await?;
    }
    let Some(func) = instance.get_func(&mut *store, name) else {
        return Err(no_function(name));
    };
    if let Ok(func) = func.typed::<(), i32>(&*store) {
        return func.call_async(&mut *store, ()).await;
    }
    let func = func.typed::<(), ()>(&*store)?;
    func.call_async(&mut *store, ()).await.map(|()| 0)
}

async fn component(
    pre: &wasmtime::component::InstancePre<ComponentState>,
    store: &mut Store<ComponentState>,
    function: Option<&str>,
) -> wasmtime::Result<i32> {
    let ended = match function {
        None => {
            let command = CommandPre::new(pre.clone())?;
            let command = command.instantiate_async(&mut *store).await?;
            command.wasi_cli_run().call_run(&mut *store).await?
        }
        Some(name) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            let func = instance.get_func(&mut *store, name);
            let func = func.ok_or_else(|| no_function(name))?;
            match func.typed::<(), (Result<(), ()>,)>(&*store) {
                Ok(func) => func.call_async(&mut *store, ()).await?.0,
                Err(_) => {
                    let func = func.typed::<(), ()>(&*store)?;
                    func.call_async(&mut *store, ()).await?;
                    Ok(())
                }
            }
        }
    };
    Ok(i32::from(ended.is_err()))
}

fn no_function(name: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "it exports no function `{name}` without arguments; `tidemill wasm inspect` shows what it exports"
    ))
}

/// What an end means.
fn judge<T>(
    ended: wasmtime::Result<i32>,
    store: &Store<T>,
    limits: &Limits,
    met: Option<Met>,
    refused_host: Option<String>,
) -> Result<End, Failure> {
    let fuel = limits.fuel.map(|max| max - store.get_fuel().unwrap_or(0));
    let err = match ended {
        Ok(exit_code) => {
            return Ok(End {
                exit_code,
                fuel,
                refused_host,
            });
        }
        Err(err) => err,
    };
    if let Some(I32Exit(exit_code)) = err.downcast_ref::<I32Exit>() {
        return Ok(End {
            exit_code: *exit_code,
            fuel,
            refused_host,
        });
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    if let Some(met) = met {
        return Err(match met {
            Met::Memory(wanted) => Failure::new(
                Why::Memory,
                format!(
                    "it wanted {} MiB of memory; max_memory is {} MiB",
                    mebibytes(wanted),
                    mebibytes(limits.memory)
                ),
            ),
            Met::Table(wanted) => Failure::new(
                Why::Table,
                format!(
                    "it wanted {wanted} table entries; a module may have {}",
                    crate::limit::TABLE_MAX
                ),
            ),
        });
    }
    let Some(trap) = err.downcast_ref::<Trap>() else {
        return Err(Failure::new(Why::Module, format!("{err:#}")));
    };
    Err(match trap {
        Trap::OutOfFuel => {
            let fuel = limits.fuel.unwrap_or(0);
            Failure::new(Why::Fuel, format!("it used all of its fuel, {fuel}"))
        }
        Trap::StackOverflow => Failure::new(Why::Stack, "its calls were too deep for its stack"),
        other => Failure::new(Why::Trap, other.to_string()),
    })
}
