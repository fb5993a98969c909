//! `wasm`.

use clap::Subcommand;
use std::path::PathBuf;

/// `tidemill wasm`.
#[derive(Subcommand, Debug)]
pub enum Wasm {
    /// What a module imports, exports and would need of the file that runs it.
    #[command(after_help = "Example:\n  tidemill wasm inspect dags/words/words.wasm")]
    Inspect {
        /// The module or component.
        file: PathBuf,
    },
}
