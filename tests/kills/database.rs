//! Kill -9 of PostgreSQL itself, while scheduler and tasks go on: no task notices, and nothing is
//! done twice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use super::kills::siege::{Siege, rounds};
use super::kills::support::Place;
use super::kills::support::postgres::Server as Postgres;
use super::kills::support::waiting::{let_pass, wait_for};
use super::kills::support::{PATIENCE, Server};

/// Gives the server work, kills its database at a random moment and starts that again.
fn round(siege: &mut Siege, server: &Server, postgres: &mut Postgres) -> usize {
    siege.plan(server);
    let delay = siege.any_moment();
    let Siege {
        triggers, place, ..
    } = siege;
    let mut n_running = 0;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| triggers.send(place));
        let_pass(delay);
        postgres.stop("KILL");
        n_running =
            super::kills::journal::Journal::read(&place.folder().join("journal")).unfinished(0);
        postgres.resume();
        sender.join().unwrap();
    });
    let asked = || server.get("/api/v2/dags?limit=1").0 == 200;
    wait_for("the database to be back", PATIENCE, || {
        asked().then_some(())
    });
    n_running
}

#[test]
fn a_killed_database_costs_no_task_and_doubles_none() {
    let mut postgres = Postgres::start();
    let place = Place::at(Some(postgres.new_database()));
    // A task that was started a second time would end in success, and be found by its lines.
    let mut siege = Siege::new("killed databases", place, 20);
    let server = siege.place.serve();
    let mut n_hit = 0;
    let rounds = rounds().div_ceil(2);
    for _ in 0..rounds {
        n_hit += usize::from(round(&mut siege, &server, &mut postgres) > 0);
    }
    let runs = siege.end(server);
    println!(
        "killed databases: {rounds} kills, {n_hit} while a task ran, {} runs",
        runs.len()
    );
    siege.check_all_succeeded(&runs);
    siege.journal().check_no_second_start();
    assert!(n_hit > 0 || rounds < 5, "no kill hit a running task");
}
