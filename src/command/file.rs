//! A DAG file that a command line names.

use super::print::Printer;
use crate::daemon::dag_files::{ReadFile, read_file};
use crate::exit::{Exit, Failure};
use std::path::Path;
use tidemill_model::Dag;

/// Reads the DAG of a file, or of a folder with a `dag.toml`. What is wrong with it is printed on
/// standard error.
///
/// # Errors
/// When there is no such file, or it has errors.
pub fn open(printer: &Printer, path: &Path) -> Result<(Dag, ReadFile), Failure> {
    let path = if path.is_dir() {
        path.join("dag.toml")
    } else {
        path.to_path_buf()
    };
    if !path.is_file() {
        let message = format!("there is no file {}", path.display());
        return Err(Failure::new(Exit::NotFound, message));
    }
    let mut file = read_file(Path::new(""), &path);
    match file.loaded.dag.take() {
        Some(dag) => Ok((dag, file)),
        None => {
            let diagnostics = &file.loaded.diagnostics;
            let text =
                tidemill_dagfile::render_text(&file.name, &file.source, diagnostics, printer.color);
            eprintln!("{text}");
            let message = format!("{} has errors", path.display());
            Err(Failure::new(Exit::Invalid, message))
        }
    }
}
