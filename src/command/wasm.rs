//! `wasm`: inspect.

use super::print::{Printer, json, line};
use crate::args::Wasm;
use crate::exit::{Exit, Failure};
use serde_json::json;
use std::io::Read;
use std::path::Path;
use tidemill_wasm::{Inspected, Kind, MODULE_MAX, inspect};

/// Runs one of the verbs.
pub fn wasm(printer: &Printer, verb: Wasm) -> Result<Exit, Failure> {
    match verb {
        Wasm::Inspect { file } => {
            let bytes = read(&file)?;
            let found = inspect(&bytes).map_err(|what| {
                Failure::new(Exit::Invalid, format!("{}: {what}", file.display()))
            })?;
            show(printer, &found);
            Ok(Exit::Ok)
        }
    }
}

/// A file that is not larger than a module may be.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |exit, what: String| Failure::new(exit, format!("{}: {what}", path.display()));
    let missing = |err: std::io::Error| failed(Exit::NotFound, err.to_string());
    let file = std::fs::File::open(path).map_err(missing)?;
    let mut bytes = Vec::new();
    file.take(MODULE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(missing)?;
    if bytes.len() as u64 > MODULE_MAX {
        let what = format!("a module may have {} MiB", MODULE_MAX >> 20);
        return Err(failed(Exit::Invalid, what));
    }
    Ok(bytes)
}

fn show(printer: &Printer, found: &Inspected) {
    let kind = match (found.kind, found.is_command) {
        (Kind::Module, true) => "a WASI preview 1 command",
        (Kind::Module, false) => "a module without `_start`; name its function with `function`",
        (Kind::Component, true) => "a WASI preview 2 command (component)",
        (Kind::Component, false) => {
            "a component without `wasi:cli/run`; name its function with `function`"
        }
    };
    if printer.is_json() {
        let needs = found.needs.iter();
        return json(&json!({
            "kind": match found.kind { Kind::Module => "module", Kind::Component => "component" },
            "is_command": found.is_command,
            "imports": found.imports,
            "exports": found.exports,
            "memory_bytes": found.memory,
            "unknown_imports": found.unknown,
            "needs": needs.map(|(key, why)| json!({ "key": key, "why": why })).collect::<Vec<_>>(),
        }));
    }
    line(&format!("It is {kind}."));
    line(&format!("memory at its start: {} KiB", found.memory >> 10));
    list("imports", &found.imports);
    list("exports", &found.exports);
    let needs = found.needs.iter();
    let needs: Vec<String> = needs.map(|(key, why)| format!("{key}: {why}")).collect();
    list("it may need", &needs);
    list(
        "nothing here provides these imports, so it cannot be run",
        &found.unknown,
    );
}

fn list(title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    line(&format!("{title}:"));
    // Names come from the module: they may hold anything.
    for item in items {
        line(&format!("  {}", tidemill_log::inert(item)));
    }
}
