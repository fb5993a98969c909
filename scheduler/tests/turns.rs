//! Which run begins next, by random rows.
#![allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod support;
#[path = "admission/world.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod world;

use std::sync::Arc;
use support::Chance;
use tidemill_model::dag::{Concurrency, ConcurrencyPolicy};
use tidemill_model::{Dag, RunNo, RunRow, RunState, RunType, Ts};
use tidemill_scheduler::{Turns, is_failing};
use world::{dag, run, task};

fn limited(max_active_runs: u32, limit: u32, policy: ConcurrencyPolicy) -> Dag {
    Dag {
        max_active_runs,
        concurrency: Some(Concurrency {
            key: String::new(),
            limit,
            policy,
        }),
        ..Arc::unwrap_or_clone(dag("d", 16, vec![task("t")]))
    }
}

fn row(no: i64, state: RunState, due: i64) -> RunRow {
    let one = run(no, 1, &dag("d", 16, vec![task("t")]));
    RunRow {
        state,
        run_after: Ts(due),
        ..one.row
    }
}

#[test]
fn no_limit_on_runs_is_passed_and_the_gates_say_what_decides() {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let dag = limited(
            1 + chance.below(4) as u32,
            1 + chance.below(2) as u32,
            ConcurrencyPolicy::Queue,
        );
        let mut turns = Turns::default();
        let mut rows: Vec<(RunRow, String)> = Vec::new();
        for no in 0..60 {
            let mut new = row(no, RunState::Queued, chance.below(20) as i64);
            if chance.below(4) == 0 {
                new.run_type = RunType::Backfill;
            }
            let key = format!("k{}", chance.below(3));
            let is_of_backfill = new.run_type == RunType::Backfill;
            turns.follow(&new, &key, is_of_backfill);
            turns.follow(&new, &key, is_of_backfill);
            rows.push((new, key));
            if let Some(next) = turns.next(&dag) {
                let (row, key) = &mut rows[next.0 as usize];
                row.state = RunState::Running;
                turns.follow(row, key, row.run_type == RunType::Backfill);
            }
            let ended = chance.below(rows.len() as u64 * 2) as usize;
            if let Some((row, key)) = rows.get_mut(ended) {
                row.state = RunState::Success;
                turns.follow(row, key, row.run_type == RunType::Backfill);
            }
            check(seed, &dag, &turns, &rows);
        }
    }
}

fn check(seed: u64, dag: &Dag, turns: &Turns, rows: &[(RunRow, String)]) {
    let running = |key: &str| {
        let is_running =
            |(row, other): &&(RunRow, String)| row.state == RunState::Running && key == other;
        rows.iter().filter(is_running).count()
    };
    let count = |state: RunState| {
        let counts =
            |(row, _): &&(RunRow, String)| row.state == state && row.run_type != RunType::Backfill;
        rows.iter().filter(counts).count()
    };
    let n_running = count(RunState::Running);
    assert_eq!(turns.n_queued(), count(RunState::Queued), "seed {seed}");
    let is_full = n_running >= dag.max_active_runs as usize;
    assert_eq!(turns.n_running(), n_running, "seed {seed}");
    assert!(n_running <= dag.max_active_runs as usize, "seed {seed}");
    let limit = dag.concurrency.as_ref().unwrap().limit as usize;
    for key in ["k0", "k1", "k2"] {
        assert!(running(key) <= limit, "seed {seed}");
    }
    let expected = rows
        .iter()
        .filter(|(row, key)| row.state == RunState::Queued && running(key) < limit)
        .map(|(row, _)| (row.run_type == RunType::Backfill, row.run_after, row.run))
        // A backfill has a limit of its own.
        .filter(|(is_of_backfill, _, _)| *is_of_backfill || !is_full)
        .min()
        .map(|(_, _, run)| run);
    assert_eq!(turns.next(dag), expected, "seed {seed}");
    for (row, _) in rows {
        let gates = turns.gates(row, dag);
        assert_eq!(
            gates.is_some(),
            row.state == RunState::Queued,
            "seed {seed}"
        );
        let may_begin = gates.is_some_and(|gates| gates.iter().all(|gate| gate.is_open));
        assert_eq!(may_begin, expected == Some(row.run), "seed {seed}");
    }
}

#[test]
fn replace_ends_what_waits_and_the_oldest_of_what_runs_with_the_same_key() {
    let dag = limited(16, 2, ConcurrencyPolicy::Replace);
    let mut turns = Turns::default();
    for (no, state, key) in [
        (1, RunState::Running, "eu"),
        (2, RunState::Running, "eu"),
        (3, RunState::Queued, "eu"),
        (4, RunState::Running, "us"),
    ] {
        turns.follow(&row(no, state, 0), key, false);
    }
    let new = row(5, RunState::Queued, 0);
    turns.follow(&new, "eu", false);
    assert_eq!(turns.replaced_by(&new, &dag), [RunNo(3), RunNo(1)]);
}

#[test]
fn skip_makes_no_run_while_its_key_has_no_room() {
    let dag = limited(16, 1, ConcurrencyPolicy::Skip);
    let mut turns = Turns::default();
    assert!(!turns.is_skipped(&dag, "eu"));
    turns.follow(&row(1, RunState::Queued, 0), "eu", false);
    assert!(turns.is_skipped(&dag, "eu"));
    assert!(!turns.is_skipped(&dag, "us"));
}

#[test]
fn a_dag_is_failing_when_its_latest_runs_have_all_failed() {
    use RunState::{Failed, Queued, Running, Success};
    // Runs by the instant they were due, whatever their order of making.
    type Case = (&'static [(i64, RunState)], usize, bool);
    let table: &[Case] = &[
        (&[], 1, false),
        (&[(1, Failed)], 0, false),
        (&[(1, Failed)], 1, true),
        (&[(1, Failed)], 2, false),
        (&[(1, Failed), (2, Failed)], 2, true),
        (&[(1, Failed), (2, Success), (3, Failed)], 2, false),
        (&[(3, Failed), (1, Success), (2, Failed)], 2, true),
        (&[(3, Success), (1, Failed), (2, Failed)], 2, false),
        (&[(1, Failed), (2, Failed), (3, Running)], 2, false),
        (&[(1, Failed), (2, Failed), (3, Queued)], 2, false),
        (
            &[(1, Success), (2, Failed), (2, Failed), (2, Failed)],
            3,
            true,
        ),
    ];
    for (runs, max, expected) in table {
        let rows: Vec<RunRow> = (1..)
            .zip(*runs)
            .map(|(no, (due, state))| row(no, *state, *due))
            .collect();
        assert_eq!(is_failing(&rows, *max), *expected, "{runs:?} {max}");
    }
}
