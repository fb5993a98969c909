//! The program: reads the command line, runs one command, prints one error, exits.

mod args;
mod command;
mod daemon;
mod exit;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The supervisor is this same file started again, before anything grows.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "supervise")
    {
        return ExitCode::from(u8::try_from(tidemill_executor::supervise()).unwrap_or(1));
    }
    // And so is the process that compiles a module.
    #[cfg(feature = "wasm")]
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == tidemill_wasm::COMPILE_ARGUMENT)
    {
        let rest: Vec<String> = std::env::args().skip(2).collect();
        return tidemill_wasm::compile_for_parent(&rest);
    }
    let args = args::Args::parse();
    match command::run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            if let Some(hint) = &failure.hint {
                eprintln!("hint: {hint}");
            }
            failure.exit.into()
        }
    }
}
