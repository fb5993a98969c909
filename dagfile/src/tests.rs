#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod accepts;
mod alerts;
mod assets;
mod defaults;
mod events;
mod groups;
mod labels;
mod looked_up;
mod mapping;
mod params;
mod refuses;
mod resources;
mod shows;
mod streams;
mod templates;
mod undated;
mod waits;

use crate::{Loaded, load, reports};

/// Everything that is wrong with a text, as `CODE line:column`, in order.
fn found(source: &str) -> Vec<String> {
    let loaded = load(source.as_bytes(), "sample");
    let found = reports("sample.toml", source, &loaded.diagnostics);
    found
        .iter()
        .map(|one| format!("{} {}:{}", one.code, one.line, one.column))
        .collect()
}

fn good(source: &str) -> Loaded {
    let loaded = load(source.as_bytes(), "sample");
    assert_eq!(loaded.diagnostics, [], "{source}");
    assert!(loaded.dag.is_some());
    loaded
}
