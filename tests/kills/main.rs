//! Kill -9 of the server at random moments, under load, and what must be true after it.
//!
//! Tasks write a journal of their own, one line at their start and one at their end. The journal
//! is compared with what the store said at each kill: nothing lost, nothing doubled, nothing out
//! of order, nothing left over. `TIDEMILL_KILL_ROUNDS` sets the number of kills, `TIDEMILL_SEED`
//! repeats the random choices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod doubts;
pub mod journal;
pub mod load;
pub mod moment;
pub(crate) mod siege;
pub mod store;
#[path = "../support/mod.rs"]
pub(crate) mod support;

use moment::Moment;
use siege::{Runs, Siege, rounds};
use support::waiting::let_pass;
use support::{Place, processes};

/// Kills that hit a running task, in percent; fewer mean that the test tests too little.
const ENOUGH: usize = 30;

/// Starts a server, gives it work, kills it at a random moment and looks at what is left.
fn round(siege: &mut Siege) {
    let mut server = siege.place.serve();
    siege.plan(&server);
    let delay = siege.any_moment();
    let family = processes::below(server.child.id());
    let log = siege.place.home().join("tidemill.db-wal");
    let aim = siege.chance.one_in(3);
    let Siege {
        triggers,
        place,
        tally,
        ..
    } = siege;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| triggers.send(place));
        let_pass(delay);
        tally.kill(&mut server.child, &log, aim);
        sender.join().unwrap();
    });
    let folder = siege.place.folder().to_path_buf();
    siege.look_at_what_is_left(&family, &folder);
}

fn lay_siege(name: &str, rounds: usize, retries: u32) -> (Siege, Runs) {
    let mut siege = Siege::new(name, Place::new(), retries);
    for _ in 0..rounds {
        round(&mut siege);
    }
    // A handful of kills may miss by bad luck; many that miss are a fault of the harness.
    let mut n_more = 2 * rounds;
    while siege.tally.percent(Moment::Task) < ENOUGH && n_more > 0 {
        round(&mut siege);
        n_more -= 1;
    }
    let server = siege.place.serve();
    let runs = siege.end(server);
    println!("{name}: {} kills, {}", siege.kills.len(), siege.tally);
    assert!(
        siege.tally.percent(Moment::Task) >= ENOUGH,
        "too few kills hit a running task: {}",
        siege.tally
    );
    (siege, runs)
}

#[test]
fn with_retries_every_run_ends_in_success_whatever_is_killed() {
    let (siege, runs) = lay_siege("kills with retries", rounds(), 20);
    siege.check_all_succeeded(&runs);
    siege.journal().check_second_starts(&siege.kills);
}

#[test]
fn without_retries_a_task_that_started_is_lost_and_never_started_again() {
    let (siege, runs) = lay_siege("kills without retries", rounds().div_ceil(3), 0);
    siege.check_only_lost_tasks_failed(&runs);
}
