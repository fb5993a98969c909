//! A program for the tests: a supervisor, or (`worker HOME LEASE_MS LOG COMMAND`) a worker with
//! one task that can be killed or stopped from outside.

use std::time::Duration;

#[path = "../common/definitions.rs"]
mod common;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["supervise"] => std::process::exit(tidemill_executor::supervise()),
        #[cfg(feature = "wasm")]
        [tidemill_wasm::COMPILE_ARGUMENT, ..] => {
            let ended = tidemill_wasm::compile_for_parent(&args[1..]);
            std::process::exit(i32::from(ended != std::process::ExitCode::SUCCESS));
        }
        ["worker", folder, lease_ms, command] => worker(folder, lease_ms, command),
        _ => std::process::exit(2),
    }
}

#[allow(clippy::unwrap_used, reason = "a program of a test may panic")]
fn worker(folder: &str, lease_ms: &str, command: &str) {
    let folder = std::path::Path::new(folder);
    let lease = Duration::from_millis(lease_ms.parse().unwrap());
    let mut options = common::options(&folder.join("home"));
    options.lease = lease;
    options.supervisor_program = None;
    let mut worker = tidemill_executor::Worker::start(options, Duration::ZERO).unwrap();
    let spec = common::spec(folder, common::shell(command));
    println!("{}", spec.attempt);
    worker.launch(spec);
    loop {
        common::wait_for_news(&worker, lease / 6);
        worker.beat();
        worker.ended();
    }
}
