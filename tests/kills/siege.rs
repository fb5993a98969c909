//! One set of kills: what is given to do, what the kills found, and what is true of all of them.

use super::journal::{Journal, Kill};
use super::load::{Load, Triggers};
use super::moment::{Moment, Tally};
use super::store;
use super::support::chance::Chance;
use super::support::waiting::{wait_for, within};
use super::support::{PATIENCE, Place, Server, processes};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What may be left of a killed program's processes after this is a fault.
const LEFT_OVER: Duration = Duration::from_secs(2);
/// Runs that may be open at once, so that the backlog does not grow without end.
const OPEN_RUNS: usize = 12;

/// The runs of a store by `dag/run`.
pub type Runs = BTreeMap<String, store::Run>;

/// How many kills a set has.
pub fn rounds() -> usize {
    std::env::var("TIDEMILL_KILL_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12)
}

/// Everything about one set of kills, until it is judged.
pub struct Siege {
    /// The home and the DAGs.
    pub place: Place,
    /// What there is to do.
    pub load: Load,
    /// What was asked for.
    pub triggers: Triggers,
    /// The kills so far.
    pub kills: Vec<Kill>,
    /// What they hit.
    pub tally: Tally,
    /// The random choices.
    pub chance: Chance,
}

impl Siege {
    /// Random graphs in a place.
    pub fn new(name: &str, place: Place, retries: u32) -> Siege {
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

    /// What the tasks have written so far.
    pub fn journal(&self) -> Journal {
        Journal::read(&self.place.folder().join("journal"))
    }

    /// Plans a few more runs; now and then lets everything end first, so that a kill finds quiet.
    pub fn plan(&mut self, server: &Server) {
        if self.chance.one_in(8) {
            self.drain(server);
            return;
        }
        let room = OPEN_RUNS.saturating_sub(self.open_runs(server));
        let new = (self.chance.between(1, 4) as usize).min(room);
        for _ in 0..new {
            let dag = self.load.any(&mut self.chance);
            self.triggers.plan(dag);
        }
    }

    /// How long after the work was given the kill comes.
    pub fn any_moment(&mut self) -> Duration {
        Duration::from_micros(self.chance.between(0, 500_000))
    }

    /// Waits until everything below a killed process, and what names its folder, is gone, and
    /// notes what the store says then.
    pub fn look_at_what_is_left(&mut self, family: &[processes::Process], folder: &Path) {
        let left = || {
            let mut left: Vec<_> = family
                .iter()
                .copied()
                .filter(|one| one.is_alive())
                .collect();
            left.extend(processes::naming(folder));
            left
        };
        let gone = within(LEFT_OVER, || left().is_empty().then_some(()));
        assert!(
            gone.is_some(),
            "left over after {LEFT_OVER:?}: {:?}",
            left()
        );
        self.note_kill();
    }

    /// Notes a kill whose victim is gone with everything below it.
    pub fn note_kill(&mut self) {
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

    /// Lets everything end in peace, reads the store for the last time, and checks what holds
    /// whatever was killed: no run too many or too few, and no task before its time.
    pub fn end(&mut self, mut server: Server) -> Runs {
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
        let runs = store::runs(&self.place);
        assert_eq!(
            self.triggers.acknowledged(),
            runs.keys().cloned().collect(),
            "each acknowledged trigger is exactly one run"
        );
        self.journal().check_order(&self.load);
        runs
    }

    /// With retries every run ends in success, and no success is without its end line.
    pub fn check_all_succeeded(&self, runs: &Runs) {
        let journal = self.journal();
        for (name, run) in runs {
            assert_eq!(run.state, "success", "{name}: {run:?}");
            for task in run.tasks.keys() {
                assert!(
                    journal.has_ended(name, task),
                    "{name}/{task} is a success without an end line"
                );
            }
        }
    }

    /// Without retries no task starts twice, and what was killed, and nothing else, has failed.
    pub fn check_only_lost_tasks_failed(&self, runs: &Runs) {
        self.journal().check_no_second_start();
        let mut lost = 0;
        for (name, run) in runs {
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
        println!("{lost} tasks lost");
        assert!(
            lost > 0 || self.tally.percent(Moment::Task) == 0,
            "a task was killed, and nothing was lost"
        );
    }
}
