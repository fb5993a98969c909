//! A seeded simulation: random DAGs with every rule, role, operator and limit, and all that can go
//! wrong around them: crashes before and after a commit, late, lost, doubled and senseless reports,
//! leases that lapse, hints that get lost, clocks that are set, files that are edited in the
//! middle of a run, pools that shrink, and people.
//!
//! After each event the invariants of `oracle.rs` are checked. When the faults stop, the run ends.
//! How often each event was taken in each state is printed at the end; a cell of the law that was
//! neither taken a hundred times nor stands in `unreachable.txt` fails the test.
//!
//! `TIDEMILL_SEED` and `TIDEMILL_STEPS` tell another story or a longer one; the seed of a failure
//! is printed and tells the same story again, aloud with `TIDEMILL_TELL=1`.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "../support/mod.rs"]
mod support;

mod draw;
mod elsewhere;
mod oracle;
mod people;
mod store;
mod world;

use std::fmt::Write;
use tidemill_model::{TaskEvent, TaskState};
use tidemill_scheduler::Taken;
use world::World;

/// Steps of the short form.
const STEPS: u64 = 2_000_000;
/// A cell that is taken less often has not been looked at.
const TAKEN_MIN: u64 = 100;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} must be a whole number")),
        Err(_) => otherwise,
    }
}

#[test]
fn a_million_steps_with_faults_keep_every_invariant_and_take_every_cell_of_the_law() {
    let first = from_environment("TIDEMILL_SEED", 1);
    let n_steps = from_environment("TIDEMILL_STEPS", STEPS);
    let mut taken = Taken::new();
    let (mut n_done, mut seed) = (0, first);
    while n_done < n_steps {
        let mut world = World::new(seed);
        n_done += world.tell();
        for (cell, n) in world.counted() {
            *taken.entry(cell).or_default() += n;
        }
        seed += 1;
    }
    println!("seeds {first} to {}, {n_done} steps", seed - 1);
    println!("{}", table(&taken));
    if n_steps >= STEPS {
        check_cells(&taken);
    }
}

/// States down, events across, as far as the law allows them.
fn table(taken: &Taken) -> String {
    let mut text = String::new();
    for &state in TaskState::ALL {
        writeln!(text, "{state}").unwrap();
        for &event in TaskEvent::ALL {
            if state.next(event).is_ok() {
                let n = taken.get(&(state, event)).copied().unwrap_or(0);
                writeln!(text, "  {event:<18} {n}").unwrap();
            }
        }
    }
    text
}

fn check_cells(taken: &Taken) {
    let listed = include_str!("unreachable.txt");
    let unreachable: Vec<(&str, &str)> = listed
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect();
    for &state in TaskState::ALL {
        for &event in TaskEvent::ALL {
            if state.next(event).is_err() {
                continue;
            }
            let n = taken.get(&(state, event)).copied().unwrap_or(0);
            let is_listed = unreachable.contains(&(state.name(), event.name()));
            assert!(
                n >= TAKEN_MIN || is_listed,
                "{state} was left by {event} {n} times: too few"
            );
            assert!(
                n == 0 || !is_listed,
                "unreachable.txt lists {state} {event}, but it was taken {n} times"
            );
        }
    }
}
