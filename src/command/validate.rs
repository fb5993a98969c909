//! `validate` and `explain`.

use super::print::{Printer, json, line};
use crate::daemon::dag_files::{dag_files, import_errors, read_file};
use crate::exit::{Exit, Failure};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tidemill_dagfile::Severity;

/// Prints everything that is wrong with files.
pub fn validate(printer: &Printer, paths: &[PathBuf]) -> Result<Exit, Failure> {
    let started = Instant::now();
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(dag_files(path));
        } else if path.is_file() {
            files.push(path.clone());
        } else {
            return Err(Failure::new(
                Exit::NotFound,
                format!("there is no file {}", path.display()),
            ));
        }
    }
    let mut read: Vec<_> = files
        .iter()
        .map(|file| (file, read_file(Path::new(""), file)))
        .collect();
    let mut owners: HashMap<String, String> = HashMap::new();
    for at in 0..read.len() {
        let Some(id) = read[at].1.loaded.dag.as_ref().map(|dag| dag.id.clone()) else {
            continue;
        };
        let name = read[at].1.name.clone();
        if let Some(other) = owners.insert(id.clone(), name.clone()) {
            for (_, file) in read
                .iter_mut()
                .filter(|(_, file)| file.name == name || file.name == other)
            {
                let elsewhere = if file.name == name { &other } else { &name };
                let span = file.loaded.id_span.clone();
                file.loaded
                    .diagnostics
                    .push(tidemill_dagfile::duplicate_id(&id, elsewhere, span));
            }
        }
    }
    let (mut n_errors, mut n_warnings, mut n_bad) = (0, 0, 0);
    let mut reports: Vec<Value> = Vec::new();
    for (_, file) in &read {
        let diagnostics = &file.loaded.diagnostics;
        let errors = diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .count();
        n_errors += errors;
        n_warnings += diagnostics.len() - errors;
        n_bad += usize::from(!diagnostics.is_empty());
        if printer.is_json() {
            let found = import_errors(&file.name, &file.source, diagnostics);
            reports.extend(
                found
                    .iter()
                    .filter_map(|report| serde_json::to_value(report).ok()),
            );
        } else if !diagnostics.is_empty() {
            line(&tidemill_dagfile::render_text(
                &file.name,
                &file.source,
                diagnostics,
                printer.color,
            ));
        }
    }
    if printer.is_json() {
        json(&Value::from(reports));
    } else {
        eprintln!(
            "{n_errors} errors, {n_warnings} warnings in {n_bad} of {} files ({} ms)",
            read.len(),
            started.elapsed().as_millis()
        );
    }
    Ok(if n_errors > 0 {
        Exit::Invalid
    } else {
        Exit::Ok
    })
}

/// Prints what a code means.
pub fn explain(code: &str) -> Result<Exit, Failure> {
    match tidemill_dagfile::explain(&code.to_uppercase()) {
        Some(text) => {
            line(text);
            Ok(Exit::Ok)
        }
        None => Err(Failure::new(
            Exit::NotFound,
            format!("there is no code {code}"),
        )),
    }
}
