//! What a task can do: one folder an operator.
//!
//! `shell` starts a process, `flow` decides without waiting. All others run inside the worker: a
//! function from a [`Job`] to its end, named in [`Operators::built_in`].

pub(crate) mod flow;
mod http;
mod job;
pub(crate) mod python;
pub(crate) mod shell;
#[cfg(feature = "wasm")]
mod wasm;

pub(crate) use job::Closing;
pub use job::{Done, End, Failure, Job, Results, Stream};

use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The work of one attempt. It is dropped when the attempt must end, so whatever it has started
/// (a thread, a statement on a server) has to end when it is dropped.
pub type Work = BoxFuture<'static, Result<Done, End>>;

/// Starts the work of one attempt.
pub(crate) type Run = Arc<dyn Fn(Job) -> Work + Send + Sync>;

/// The operators that run inside the worker, by their key in the file.
#[derive(Clone, Default)]
pub struct Operators(BTreeMap<&'static str, Run>);

impl Operators {
    /// Those of this crate, for a worker with that state folder. A new one is a line here.
    pub fn built_in(home: &Path) -> Operators {
        let all = Operators::default().with("http", |job| Box::pin(http::run(job)));
        #[cfg(feature = "wasm")]
        let all = all.with_wasm(tidemill_wasm::Settings::new(&home.join("wasm-cache")));
        #[cfg(not(feature = "wasm"))]
        let _ = home; // only modules keep something there
        all
    }

    /// Adds one, or takes the place of one.
    pub fn with(
        mut self,
        kind: &'static str,
        run: impl Fn(Job) -> Work + Send + Sync + 'static,
    ) -> Operators {
        self.0.insert(kind, Arc::new(run));
        self
    }

    /// Their keys.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    pub(crate) fn find(&self, kind: &str) -> Option<Run> {
        self.0.get(kind).cloned()
    }
}

impl std::fmt::Debug for Operators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.kinds()).finish()
    }
}
