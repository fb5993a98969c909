//! What a task can do: one folder an operator.
//!
//! `shell` starts a process, `flow` decides without waiting. All others run inside the worker: a
//! function from a [`Job`] to its end, named in [`Operators::built_in`].

mod file_sensor;
pub(crate) mod flow;
mod http;
mod http_sensor;
mod job;
mod new_file;
pub(crate) mod python;
mod sensor;
pub(crate) mod shell;
mod sql;
mod sql_sensor;
#[cfg(feature = "wasm")]
mod wasm;

pub use file_sensor::matching;
pub use http::{Allowed, Net, reach_http};
pub(crate) use job::{Closing, Deferral};
pub use job::{Done, End, Failure, Job, Results, Stream};

pub use new_file::NewFile;
pub use sql::reach_database;

use futures_util::future::BoxFuture;
use http::Http;
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
    /// Requests may go where `allowed` lets them.
    pub fn built_in(home: &Path, allowed: Allowed) -> Operators {
        let http = Arc::new(Http::new(allowed));
        let of_sensor = Arc::clone(&http);
        let all = Operators::default()
            .with("http", move |job| {
                Box::pin(http::run(Arc::clone(&http), job))
            })
            .with("http_sensor", move |job| {
                Box::pin(http_sensor::run(Arc::clone(&of_sensor), job))
            })
            .with("sql", |job| Box::pin(sql::run(job)))
            .with("sql_sensor", |job| Box::pin(sql_sensor::run(job)))
            .with("file_sensor", |job| Box::pin(file_sensor::run(job)));
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
