//! Kill -9 of a worker in a process of its own, while the scheduler goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use super::kills::siege::{Siege, rounds};
use super::kills::support::Place;
use super::kills::support::waiting::let_pass;
use super::kills::support::worker::WorkerProcess;
use super::kills::support::{Server, processes};
use std::path::Path;

/// A worker that is gone is missed after this.
const LEASE: [&str; 2] = ["--lease", "2"];

/// Starts a worker in its home, kills it at a random moment and looks at what is left.
fn round(siege: &mut Siege, server: &Server, worker: &mut WorkerProcess) {
    worker.start_again(&LEASE);
    siege.plan(server);
    let delay = siege.any_moment();
    let Siege {
        triggers,
        place,
        tally,
        ..
    } = siege;
    let mut family = Vec::new();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| triggers.send(place));
        let_pass(delay);
        family = processes::below(worker.child.id());
        tally.kill(&mut worker.child, Path::new("none"), false);
        sender.join().unwrap();
    });
    siege.look_at_what_is_left(&family, worker.place.folder());
}

fn lay_siege(name: &str, rounds: usize, retries: u32) -> (Siege, super::kills::siege::Runs) {
    let mut siege = Siege::new(name, Place::new(), retries);
    let mut command = siege.place.serve_command();
    let child = command.args(["--only", "scheduler"]).spawn().unwrap();
    let server = siege.place.follow(child);
    let mut worker = WorkerProcess::start(&siege.place, &LEASE);
    worker.child.kill().unwrap();
    worker.wait_until_gone();
    for _ in 0..rounds {
        round(&mut siege, &server, &mut worker);
    }
    worker.start_again(&LEASE);
    let runs = siege.end(server);
    println!("{name}: {} kills, {}", siege.kills.len(), siege.tally);
    (siege, runs)
}

#[test]
fn with_retries_every_run_ends_in_success_whenever_a_worker_is_killed() {
    let (siege, runs) = lay_siege("killed workers with retries", rounds().div_ceil(2), 20);
    siege.check_all_succeeded(&runs);
    siege.journal().check_second_starts(&siege.kills);
}

#[test]
fn without_retries_what_a_killed_worker_had_started_is_lost() {
    let (siege, runs) = lay_siege("killed workers without retries", rounds().div_ceil(6), 0);
    siege.check_only_lost_tasks_failed(&runs);
}
