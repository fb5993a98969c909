//! A seeded simulation: random graphs, random ends, losses, stale reports, clears, crashes.
//!
//! After each step: no task has started before its upstream tasks ended well, the counters agree
//! with the rows, an attempt's report counts once. At the end: every run is over, and its state
//! is what the leaf rule says. A failure prints its seed; the same seed tells the same story.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod world;

use world::World;

const SEEDS: u64 = 400;

#[test]
fn every_run_ends_and_no_task_starts_before_its_upstream_tasks() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.play();
        world.assert_over();
    }
}

#[test]
fn the_final_states_do_not_depend_on_the_order_in_which_tasks_end() {
    for seed in 0..SEEDS {
        let first = World::quiet(seed, 1).final_states();
        let second = World::quiet(seed, 2).final_states();
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_task_without_retries_that_was_lost_is_failed_and_not_started_again() {
    for seed in 0..SEEDS {
        let mut world = World::without_retries(seed);
        world.play();
        world.assert_started_once();
    }
}
