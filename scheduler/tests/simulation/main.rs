//! A seeded simulation: random DAGs with every rule, role, operator and limit, and all that can go
//! wrong around them: crashes before and after a commit, late, lost, doubled and senseless reports,
//! leases that lapse, hints that get lost, clocks that are set, files that are edited in the
//! middle of a run, pools that shrink, and people.
//!
//! After each event the invariants of the reliability table are checked, by their numbers there:
//!
//! | invariant | where it is checked |
//! |---|---|
//! | I10 one counted report for an epoch, which only rises | `ends.rs` `check_news`, `rows.rs` `check_since`, `check_epoch` |
//! | I11 an end stays, but for people | `ends.rs` `check_ends_stay` |
//! | I12 one commit has all of an event | `rows.rs` `check_since` (each change is told), `check_stored`; the stores' suite and the kills test the commits |
//! | I13 one live attempt of an instance | `rows.rs` `check_live` |
//! | I14 nothing waits for nobody | `rows.rs` `check_live`, `check_timers`; `oracle.rs` `check`; each story ends |
//! | I15 loops that stand still | the engine's: nothing loops here |
//! | I16 no success without a report of one | `ends.rs` `check_successes` |
//! | I17 a run ends as its leaves and people say | `ends.rs` `check_run_end` |
//! | I18 a second look finds nothing | `oracle.rs` `check_resume` |
//! | I34, I35 slots are those of live rows, within limits | `slots.rs`; over many runs `tests/admission` |
//! | I36 fair shares | `tests/admission`: one run is alone here |
//! | I37, I38 who waits is told why, and that alone keeps it | `slots.rs` `check_reasons` |
//! | I39, I41 what a failure and a loss cost | `ends.rs` `check_failure`, `check_loss` |
//! | I40 what was lost starts again only if it may | `ends.rs` `check_loss`, `slots.rs` `check_grant` |
//! | I42 a report of nobody changes nothing | `oracle.rs` `report_nonsense` |
//! | I43 the wait for the next try is kept | `ends.rs` `check_failure`, `rows.rs` `check_timers`, `check_stored` |
//!
//! When the faults stop, the run ends. What was taken how often is printed at the end; a cell that
//! was neither taken a hundred times nor stands in `unreachable.txt` fails the test.
//!
//! `TIDEMILL_SEED` and `TIDEMILL_STEPS` tell another story or a longer one; the seed of a failure
//! is printed and tells the same story again, aloud with `TIDEMILL_TELL=1`.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "../support/mod.rs"]
mod support;

mod before;
mod cells;
mod draw;
mod elsewhere;
mod ends;
mod oracle;
mod people;
mod rows;
mod slots;
mod store;
mod world;

use cells::Counts;
use support::tell;
use world::World;

/// Steps of the short form.
const STEPS: u64 = 2_500_000;

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
    let mut counts = Counts::default();
    let (mut n_done, mut seed) = (0, first);
    while n_done < n_steps {
        let mut world = World::new(seed);
        n_done += world.tell();
        counts.add(world.counted());
        seed += 1;
    }
    let last = seed - 1;
    tell(&format!(
        "\nseeds {first} to {last}, {n_done} steps{}",
        counts.table()
    ));
    if n_steps >= STEPS {
        let missing = counts.missing(include_str!("unreachable.txt"));
        assert!(missing.is_empty(), "{missing:#?}");
    }
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 1..40 {
        let mut told = [World::new(seed), World::new(seed)];
        let [n_first, n_second] = [told[0].tell(), told[1].tell()];
        assert_eq!(n_first, n_second, "seed {seed}");
        let [first, second] = &mut told;
        assert_eq!(first.run.row, second.run.row, "seed {seed}");
        assert_eq!(first.run.tasks, second.run.tasks, "seed {seed}");
        assert_eq!(first.counted(), second.counted(), "seed {seed}");
    }
}
