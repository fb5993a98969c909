//! Runs one WebAssembly module inside this process, with what it was granted and nothing else.
//!
//! A module is a WASI preview 1 command or a preview 2 component. It gets no file, variable,
//! address or stream that [`Grants`] does not name, and no more of the machine than [`Limits`]
//! say. Each attempt has a fresh instance from a pool; whatever happens to it, it is dropped with
//! all that it held. Its compiled code is made by a process of its own ([`compile_for_parent`]),
//! for no limit holds inside a compiler, and is kept by the hash of its bytes in a folder of ours,
//! each file sealed with a key of ours, for loading compiled code means trusting it.
//!
//! Supported isolation: Cranelift on x86-64 and AArch64, as the wasmtime project gives it.

mod cache;
mod compile;
mod engine;
mod grant;
mod http;
mod inspect;
mod limit;
mod module;
mod output;
mod run;

pub use compile::compile_for_parent;
pub use grant::{Dir, Grants, Mode, Stdin};
pub use inspect::{Inspected, Kind, inspect};
pub use limit::Limits;
pub use output::Output;
pub use run::{End, Failure, Why};

use std::path::PathBuf;
use std::sync::Arc;

/// Where compiled code comes from and goes to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of compiled code; made when it is missing, readable by its owner alone.
    pub cache: PathBuf,
    /// The program that compiles when it is called with [`COMPILE_ARGUMENT`].
    pub compiler: PathBuf,
    /// What compiling one module may take.
    pub compile: CompileLimits,
}

/// What compiling one module may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space in bytes.
    pub memory: u64,
    /// Processor time in seconds; the time on the clock is half as much again.
    pub seconds: u64,
}

impl Settings {
    /// This program compiles, within the usual limits, into that folder.
    pub fn new(cache: &std::path::Path) -> Settings {
        Settings {
            cache: cache.to_path_buf(),
            compiler: PathBuf::from("/proc/self/exe"),
            compile: CompileLimits {
                memory: 4 << 30,
                seconds: 120,
            },
        }
    }
}

/// What a program is called with that is to call [`compile_for_parent`].
pub const COMPILE_ARGUMENT: &str = "compile-wasm";

/// The largest module that is taken, in bytes.
pub const MODULE_MAX: u64 = 64 << 20;

/// One request: a module, what it may do and have, and where its words go.
pub struct Request {
    /// The file of the module.
    pub module: PathBuf,
    /// The exported function to call; that of a command (`_start`, `wasi:cli/run`) when `None`.
    pub function: Option<String>,
    /// What it may reach.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
    /// Standard output.
    pub stdout: Arc<dyn Output>,
    /// Standard error.
    pub stderr: Arc<dyn Output>,
}

/// Runs modules. Nothing is started before the first of them.
pub struct Runtime {
    settings: Settings,
    engines: engine::Engines,
    modules: module::Modules,
}

impl Runtime {
    /// A runtime with a cache in that folder.
    pub fn new(settings: Settings) -> Arc<Runtime> {
        Arc::new(Runtime {
            settings,
            engines: engine::Engines::default(),
            modules: module::Modules::default(),
        })
    }

    /// Runs a module to its end, on threads of this crate's own. Dropping the future ends the
    /// module at its next turn, within about a hundredth of a second.
    ///
    /// # Errors
    /// Why it did not end by itself with a status.
    pub async fn run(self: &Arc<Runtime>, request: Request) -> Result<End, Failure> {
        let pool = self.engines.threads()?;
        let runtime = Arc::clone(self);
        let task = pool.spawn(async move { runtime.run_here(request).await });
        // Ends the work when this future is dropped.
        let mut task = run::EndOnDrop(task);
        (&mut task.0).await.unwrap_or_else(|err| {
            Err(Failure::new(
                Why::Host,
                format!("the module's thread has failed: {err}"),
            ))
        })
    }

    async fn run_here(&self, request: Request) -> Result<End, Failure> {
        let engine = self.engines.engine(request.limits.fuel.is_some())?;
        let module = self
            .modules
            .load(&self.settings, &engine, &request.module)
            .await?;
        run::run(&engine, &module, request).await
    }
}
