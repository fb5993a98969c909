//! What the tasks themselves say, and whether it may be so.

use super::load::Load;
use super::store::States;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `dag/run`.
    pub run: String,
    /// The task.
    pub task: String,
    /// The attempt's fencing number.
    pub epoch: i64,
    /// Its start, or else its end.
    pub is_start: bool,
}

/// A kill, with what was true then.
pub struct Kill {
    /// How long the journal was when everything had ended.
    pub lines: usize,
    /// What the store said.
    pub states: States,
}

/// The lines that tasks have written, in their order.
pub struct Journal {
    /// The lines.
    pub lines: Vec<Line>,
}

impl Journal {
    /// Reads it; a line that is not whole is a fault.
    pub fn read(path: &Path) -> Journal {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "a line was cut off"
        );
        Journal {
            lines: text.lines().map(line).collect(),
        }
    }

    /// Attempts from line `from` on that started and did not end.
    pub fn unfinished(&self, from: usize) -> usize {
        let later = &self.lines[from..];
        let key = |line: &Line| (line.run.clone(), line.task.clone(), line.epoch);
        let ended: BTreeSet<_> = later
            .iter()
            .filter(|line| !line.is_start)
            .map(key)
            .collect();
        later
            .iter()
            .filter(|line| line.is_start && !ended.contains(&key(line)))
            .count()
    }

    /// Did this task write an end line?
    pub fn has_ended(&self, run: &str, task: &str) -> bool {
        self.lines
            .iter()
            .any(|line| !line.is_start && line.run == run && line.task == task)
    }

    /// No task starts before everything that it waits for has ended.
    pub fn check_order(&self, load: &Load) {
        let mut ended = BTreeSet::new();
        for line in &self.lines {
            if !line.is_start {
                ended.insert((line.run.as_str(), line.task.as_str()));
                continue;
            }
            let dag = line.run.split('/').next().unwrap_or("");
            for upstream in load.upstream(dag, &line.task) {
                assert!(
                    ended.contains(&(line.run.as_str(), upstream.as_str())),
                    "{line:?} started before {upstream} had ended"
                );
            }
        }
    }

    fn starts(&self) -> BTreeMap<(&str, &str), Vec<(usize, i64)>> {
        let mut starts: BTreeMap<(&str, &str), Vec<(usize, i64)>> = BTreeMap::new();
        for (at, line) in self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.is_start)
        {
            starts
                .entry((&line.run, &line.task))
                .or_default()
                .push((at, line.epoch));
        }
        starts
    }

    /// A task starts again only when a kill came between and the store did not know its end then;
    /// each start has its own epoch, and epochs rise.
    pub fn check_second_starts(&self, kills: &[Kill]) {
        let mut again = 0;
        for ((run, task), starts) in self.starts() {
            for pair in starts.windows(2) {
                let [(before, old), (after, new)] = pair else {
                    continue;
                };
                assert!(old < new, "{run}/{task}: epoch {new} after epoch {old}");
                let between = kills
                    .iter()
                    .filter(|kill| *before < kill.lines && kill.lines <= *after);
                let allowed = between
                    .into_iter()
                    .any(|kill| !kill.states.is_terminal(run, task));
                assert!(
                    allowed,
                    "{run}/{task} started again with epoch {new}, and no kill explains it"
                );
                again += 1;
            }
        }
        println!("{again} second starts, each after a kill that found the task open");
    }

    /// No task starts twice.
    pub fn check_no_second_start(&self) {
        for ((run, task), starts) in self.starts() {
            assert_eq!(
                starts.len(),
                1,
                "{run}/{task} has no retries and started with epochs {starts:?}"
            );
        }
    }
}

fn line(text: &str) -> Line {
    let words: Vec<&str> = text.split(',').collect();
    let [run, task, epoch, what] = words[..] else {
        panic!("an odd line in the journal: {text:?}")
    };
    let epoch = epoch
        .parse()
        .unwrap_or_else(|_| panic!("an odd epoch in the journal: {text:?}"));
    assert!(
        what == "start" || what == "end",
        "an odd word in the journal: {text:?}"
    );
    Line {
        run: run.to_string(),
        task: task.to_string(),
        epoch,
        is_start: what == "start",
    }
}
