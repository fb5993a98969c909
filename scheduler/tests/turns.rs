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
use tidemill_scheduler::{TurnGate, TurnGateKind, Turns, is_failing};
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

/// What is known of a run: its row, its key, whether that is the lane of a stream, and whether a
/// failure of it blocks that lane.
struct Known {
    row: RunRow,
    key: &'static str,
    is_in_lane: bool,
    is_blocking: bool,
}

impl Known {
    fn is_of_backfill(&self) -> bool {
        self.row.run_type == RunType::Backfill
    }

    fn follow(&self, turns: &mut Turns) {
        match self.is_in_lane {
            true => turns.follow_lane(&self.row, self.key, self.is_of_backfill()),
            false => turns.follow(&self.row, self.key, self.is_of_backfill()),
        }
    }
}

#[test]
fn no_limit_on_runs_is_passed_and_the_gates_say_what_decides() {
    let mut n_blocked = 0;
    for seed in 0..120 {
        let mut chance = Chance(seed);
        let limits = (1 + chance.below(4) as u32, 1 + chance.below(2) as u32);
        let mut dag = limited(limits.0, limits.1, ConcurrencyPolicy::Queue);
        if chance.once_in(4) {
            dag.concurrency = None;
        }
        let mut turns = Turns::default();
        let mut rows: Vec<Known> = Vec::new();
        for no in 0..60 {
            let mut new = Known {
                row: row(no, RunState::Queued, chance.below(20) as i64),
                key: chance.pick::<&str>(&["k0", "k1", "k2", "lane"]),
                is_in_lane: false,
                is_blocking: false,
            };
            new.is_in_lane = new.key == "lane";
            if chance.once_in(4) {
                new.row.run_type = RunType::Backfill;
            }
            new.follow(&mut turns);
            new.follow(&mut turns);
            rows.push(new);
            if let Some(next) = turns.next(&dag) {
                let begun = &mut rows[next.0 as usize];
                begun.row.state = RunState::Running;
                begun.follow(&mut turns);
            }
            let ended = chance.below(rows.len() as u64 * 2) as usize;
            if let Some(known) = rows.get_mut(ended) {
                n_blocked += u32::from(end(&mut turns, known, &mut chance));
            }
            check(seed, &dag, &turns, &rows);
        }
        for known in &rows {
            match known.is_blocking {
                true => turns.unblock(known.row.run),
                false => turns.forget(&known.row),
            }
        }
        // A server lives for years: nothing may pile up that no answer shows.
        assert_eq!(
            format!("{turns:?}"),
            format!("{:?}", Turns::default()),
            "seed {seed}"
        );
    }
    assert!(n_blocked > 40, "only {n_blocked} runs have blocked a lane");
}

/// Ends a run, or lets the lane go that a failed one has blocked. Does it block its lane now?
fn end(turns: &mut Turns, known: &mut Known, chance: &mut Chance) -> bool {
    let run = known.row.run;
    if known.is_blocking {
        turns.unblock(run);
        known.is_blocking = false;
        return false;
    }
    let was_running = known.row.state == RunState::Running;
    known.row.state = RunState::Success;
    known.follow(turns);
    known.is_blocking = was_running && known.is_in_lane && chance.once_in(2);
    if known.is_blocking {
        known.row.state = RunState::Failed;
        turns.block(run, known.key);
    }
    known.is_blocking
}

/// How many runs with a key may be running at once.
fn limit_of(dag: &Dag, key: &str) -> Option<u32> {
    let of_dag = dag.concurrency.as_ref().map(|one| one.limit);
    if key == "lane" { Some(1) } else { of_dag }
}

fn running<'r>(rows: &'r [Known], key: &'r str) -> impl Iterator<Item = RunNo> + 'r {
    let holds = |known: &&Known| known.row.state == RunState::Running || known.is_blocking;
    let same = rows.iter().filter(move |known| known.key == key);
    same.filter(holds).map(|known| known.row.run)
}

fn has_room(dag: &Dag, rows: &[Known], key: &str) -> bool {
    limit_of(dag, key).is_none_or(|limit| running(rows, key).count() < limit as usize)
}

fn turn_of(known: &Known) -> (bool, Ts, RunNo) {
    (known.is_of_backfill(), known.row.run_after, known.row.run)
}

fn check(seed: u64, dag: &Dag, turns: &Turns, rows: &[Known]) {
    let of_state = |state: RunState| {
        let counts = move |known: &&Known| known.row.state == state && !known.is_of_backfill();
        rows.iter().filter(counts).map(|known| known.row.run)
    };
    let n_running = of_state(RunState::Running).count();
    assert_eq!(
        turns.n_queued(),
        of_state(RunState::Queued).count(),
        "seed {seed}"
    );
    assert_eq!(turns.n_running(), n_running, "seed {seed}");
    assert!(n_running <= dag.max_active_runs as usize, "seed {seed}");
    for key in ["k0", "k1", "k2", "lane"] {
        let n = running(rows, key).count();
        let limit = limit_of(dag, key);
        assert!(limit.is_none_or(|limit| n <= limit as usize), "seed {seed}");
        let waits = |known: &&Known| known.key == key && known.row.state == RunState::Queued;
        let n_queued = rows.iter().filter(waits).count();
        assert_eq!(turns.n_with_key(key), n + n_queued, "seed {seed}");
    }
    let is_full = n_running >= dag.max_active_runs as usize;
    let expected = rows
        .iter()
        .filter(|known| known.row.state == RunState::Queued && has_room(dag, rows, known.key))
        // A backfill has a limit of its own.
        .filter(|known| known.is_of_backfill() || !is_full)
        .min_by_key(|known| turn_of(known));
    let expected = expected.map(|known| known.row.run);
    assert_eq!(turns.next(dag), expected, "seed {seed}");
    for known in rows {
        let gates = turns.gates(&known.row, dag);
        let is_queued = known.row.state == RunState::Queued;
        assert_eq!(gates.is_some(), is_queued, "seed {seed}");
        let Some(mut gates) = gates else { continue };
        let may_begin = gates.iter().all(|gate| gate.is_open);
        assert_eq!(may_begin, expected == Some(known.row.run), "seed {seed}");
        gates
            .iter_mut()
            .for_each(|gate| gate.holders.sort_unstable());
        let running: Vec<RunNo> = of_state(RunState::Running).collect();
        assert_eq!(gates, told(dag, rows, known, &running), "seed {seed}");
    }
}

/// The gates of a queued run, told a second time.
fn told(dag: &Dag, rows: &[Known], known: &Known, all: &[RunNo]) -> Vec<TurnGate> {
    let gate = |kind, is_open, max, holders: Vec<RunNo>| TurnGate {
        kind,
        is_open,
        n: holders.len(),
        max,
        holders,
    };
    let is_full = all.len() >= dag.max_active_runs as usize;
    let mut gates = Vec::new();
    if !known.is_of_backfill() {
        let max = Some(dag.max_active_runs);
        gates.push(gate(TurnGateKind::ActiveRuns, !is_full, max, all.to_vec()));
    }
    if let Some(limit) = limit_of(dag, known.key) {
        let same = running(rows, known.key).collect();
        let is_open = has_room(dag, rows, known.key);
        gates.push(gate(TurnGateKind::Key, is_open, Some(limit), same));
    }
    let goes_before = |other: &&Known| {
        let may_go = other.key == known.key || has_room(dag, rows, other.key);
        // While the DAG is full, the runs that are not of a backfill wait for something else.
        let is_in_the_way = other.is_of_backfill() || !is_full || !known.is_of_backfill();
        other.row.state == RunState::Queued
            && turn_of(other) < turn_of(known)
            && may_go
            && is_in_the_way
    };
    let before: Vec<RunNo> = rows
        .iter()
        .filter(goes_before)
        .map(|other| other.row.run)
        .collect();
    gates.push(gate(TurnGateKind::Turn, before.is_empty(), None, before));
    gates
}

#[test]
fn the_room_of_a_schedule_is_what_running_and_waiting_runs_leave() {
    let dag = limited(4, 9, ConcurrencyPolicy::Queue);
    let mut turns = Turns::default();
    assert_eq!(turns.room(&dag), 4);
    turns.follow(&row(1, RunState::Running, 0), "", false);
    turns.follow(&row(2, RunState::Queued, 0), "", false);
    assert_eq!(turns.room(&dag), 2);
    turns.follow(&row(3, RunState::Running, 0), "", true);
    assert_eq!(turns.room(&dag), 2, "a backfill has a limit of its own");
    (4..9).for_each(|no| turns.follow(&row(no, RunState::Queued, 0), "", false));
    assert_eq!(turns.room(&dag), 0);
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
