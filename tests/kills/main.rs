//! Kill -9 of the server at random moments, under load, and what must be true after it.
//!
//! Tasks write a journal of their own, one line at their start and one at their end. The journal
//! is compared with what the store said at each kill: nothing lost, nothing doubled, nothing out
//! of order, nothing left over. `TIDEMILL_KILL_ROUNDS` sets the number of kills, `TIDEMILL_SEED`
//! repeats the random choices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod doubts;
mod journal;
mod load;
mod moment;
mod store;
#[path = "../support/mod.rs"]
mod support;

use journal::{Journal, Kill};
use load::{Load, Triggers};
use moment::{Moment, Tally};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;
use support::chance::Chance;
use support::waiting::{let_pass, wait_for, within};
use support::{PATIENCE, Place, Server, processes};

/// What may be left of a killed server's processes after this is a fault.
const LEFT_OVER: Duration = Duration::from_secs(2);
/// Kills that hit a running task, in percent; fewer mean that the test tests too little.
const ENOUGH: usize = 30;
/// Runs that may be open at once, so that the backlog does not grow without end.
const OPEN_RUNS: usize = 12;

fn rounds() -> usize {
    std::env::var("TIDEMILL_KILL_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12)
}

/// Everything about one set of kills, until it is judged.
struct Siege {
    place: Place,
    load: Load,
    triggers: Triggers,
    kills: Vec<Kill>,
    tally: Tally,
    chance: Chance,
}

impl Siege {
    fn new(name: &str, retries: u32) -> Siege {
        let place = Place::new();
        let mut chance = Chance::from_environment(name);
        let journal = place.folder().join("journal");
        std::fs::write(&journal, "").unwrap();
        let load = Load::random(&mut chance, &journal, retries);
        for (dag, text) in load.files() {
            place.write_dag(&format!("{dag}.toml"), &text);
        }
        Siege {
            place,
            load,
            triggers: Triggers::default(),
            kills: Vec::new(),
            tally: Tally::default(),
            chance,
        }
    }

    fn journal(&self) -> Journal {
        Journal::read(&self.place.folder().join("journal"))
    }

    /// Starts a server, gives it work, kills it at a random moment and looks at what is left.
    fn round(&mut self) {
        let mut server = self.place.serve();
        let wants_idle = self.chance.one_in(8);
        if wants_idle {
            self.drain(&server);
        } else {
            let room = OPEN_RUNS.saturating_sub(self.open_runs(&server));
            let new = (self.chance.between(1, 4) as usize).min(room);
            for _ in 0..new {
                let dag = self.load.any(&mut self.chance);
                self.triggers.plan(dag);
            }
        }
        let delay = Duration::from_micros(self.chance.between(0, 500_000));
        let family = processes::below(server.child.id());
        let log = self.place.home().join("tidemill.db-wal");
        let aim = self.chance.one_in(3);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| self.triggers.send(&self.place));
            let_pass(delay);
            self.tally.kill(&mut server, &log, aim);
            sender.join().unwrap();
        });
        self.look_at_what_is_left(&family);
    }

    fn look_at_what_is_left(&mut self, family: &[processes::Process]) {
        let left = || {
            let mut left: Vec<_> = family
                .iter()
                .copied()
                .filter(|one| one.is_alive())
                .collect();
            left.extend(processes::naming(self.place.folder()));
            left
        };
        let gone = within(LEFT_OVER, || left().is_empty().then_some(()));
        assert!(
            gone.is_some(),
            "left over after {LEFT_OVER:?}: {:?}",
            left()
        );
        let journal = self.journal();
        self.tally.judge(&journal, self.kills.last());
        self.kills.push(Kill {
            lines: journal.lines.len(),
            states: store::states(&self.place),
        });
    }

    fn open_runs(&self, server: &Server) -> usize {
        let open = server.body("/api/v2/dags/~/dagRuns?state=queued&state=running&limit=1");
        open["total_entries"].as_u64().unwrap() as usize
    }

    fn drain(&self, server: &Server) {
        wait_for("all runs to end", PATIENCE * 5, || {
            (self.open_runs(server) == 0).then_some(())
        });
    }

    /// Lets everything end in peace and reads the store for the last time.
    fn end(&mut self) -> BTreeMap<String, store::Run> {
        let mut server = self.place.serve();
        self.triggers.send(&self.place);
        assert_eq!(
            self.triggers.open(),
            0,
            "a trigger was refused by a healthy server:\n{}",
            self.place.serve_log()
        );
        self.drain(&server);
        self.triggers.send_again(&self.place);
        server.signal(Signal::TERM);
        server.wait_until_gone();
        store::runs(&self.place)
    }
}

fn lay_siege(name: &str, rounds: usize, retries: u32) -> (Siege, BTreeMap<String, store::Run>) {
    let mut siege = Siege::new(name, retries);
    for _ in 0..rounds {
        siege.round();
    }
    // A handful of kills may miss by bad luck; many that miss are a fault of the harness.
    let mut n_more = 2 * rounds;
    while siege.tally.percent(Moment::Task) < ENOUGH && n_more > 0 {
        siege.round();
        n_more -= 1;
    }
    let runs = siege.end();
    println!(
        "{name}: {} kills, {} runs, {}",
        siege.kills.len(),
        runs.len(),
        siege.tally
    );
    assert_eq!(
        siege.triggers.acknowledged(),
        runs.keys().cloned().collect(),
        "each acknowledged trigger is exactly one run"
    );
    siege.journal().check_order(&siege.load);
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
    for (name, run) in &runs {
        assert_eq!(run.state, "success", "{name}: {run:?}");
    }
    let journal = siege.journal();
    journal.check_second_starts(&siege.kills);
    for (name, run) in &runs {
        for task in run.tasks.keys() {
            assert!(
                journal.has_ended(name, task),
                "{name}/{task} is a success without an end line"
            );
        }
    }
}

#[test]
fn without_retries_a_task_that_started_is_lost_and_never_started_again() {
    let (siege, runs) = lay_siege("kills without retries", rounds().div_ceil(3), 0);
    siege.journal().check_no_second_start();
    let mut lost = 0;
    for (name, run) in &runs {
        let failed: Vec<_> = run
            .tasks
            .values()
            .filter(|task| task.state == "failed")
            .collect();
        assert_eq!(run.state == "failed", !failed.is_empty(), "{name}: {run:?}");
        assert!(
            failed.iter().all(|task| task.reason == "lost"),
            "{name}: {run:?}"
        );
        lost += failed.len();
    }
    println!("kills without retries: {lost} tasks lost");
    assert!(
        lost > 0 || siege.tally.percent(Moment::Task) == 0,
        "a task was killed, and nothing was lost"
    );
}
