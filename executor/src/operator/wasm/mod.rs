//! `wasm`: one WebAssembly module inside the worker, with what its file grants and nothing else.

mod config;
mod run;
mod streams;

use super::Operators;
use std::sync::Arc;
use tidemill_wasm::{Runtime, Settings};

impl Operators {
    /// Adds `wasm`, with a cache and a compiler of its own.
    pub fn with_wasm(self, settings: Settings) -> Operators {
        let runtime = Runtime::new(settings);
        self.with("wasm", move |job| {
            Box::pin(run::run(Arc::clone(&runtime), job))
        })
    }
}
