//! What the server is given to do: random graphs, and triggers that are sent until acknowledged.

use super::support::Place;
use super::support::chance::Chance;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// DAGs: for each, its tasks with what they wait for.
pub struct Load {
    dags: BTreeMap<String, BTreeMap<String, Task>>,
    journal: String,
    retries: u32,
}

struct Task {
    upstream: Vec<String>,
    millis: u64,
}

type Tasks = BTreeMap<String, Task>;

fn add(tasks: &mut Tasks, chance: &mut Chance, upstream: &[&str]) -> String {
    let name = format!("t{}", tasks.len());
    let millis = if chance.one_in(3) {
        0
    } else {
        chance.between(10, 150)
    };
    tasks.insert(
        name.clone(),
        Task {
            upstream: upstream.iter().map(ToString::to_string).collect(),
            millis,
        },
    );
    name
}

fn chain(chance: &mut Chance) -> Tasks {
    let mut tasks = Tasks::new();
    let mut last = add(&mut tasks, chance, &[]);
    for _ in 0..chance.between(2, 8) {
        last = add(&mut tasks, chance, &[&last]);
    }
    tasks
}

fn fan(chance: &mut Chance) -> Tasks {
    let mut tasks = Tasks::new();
    let top = add(&mut tasks, chance, &[]);
    let middle: Vec<String> = (0..chance.between(3, 12))
        .map(|_| add(&mut tasks, chance, &[&top]))
        .collect();
    let middle: Vec<&str> = middle.iter().map(String::as_str).collect();
    add(&mut tasks, chance, &middle);
    tasks
}

fn diamonds(chance: &mut Chance) -> Tasks {
    let mut tasks = Tasks::new();
    let mut top = add(&mut tasks, chance, &[]);
    for _ in 0..chance.between(1, 3) {
        let sides = [
            add(&mut tasks, chance, &[&top]),
            add(&mut tasks, chance, &[&top]),
            add(&mut tasks, chance, &[&top]),
        ];
        top = add(&mut tasks, chance, &[&sides[0], &sides[1], &sides[2]]);
    }
    tasks
}

impl Load {
    /// Two graphs of each kind.
    pub fn random(chance: &mut Chance, journal: &Path, retries: u32) -> Load {
        let mut dags = BTreeMap::new();
        for number in 0..2 {
            dags.insert(format!("chain{number}"), chain(chance));
            dags.insert(format!("fan{number}"), fan(chance));
            dags.insert(format!("diamond{number}"), diamonds(chance));
        }
        Load {
            dags,
            journal: journal.display().to_string(),
            retries,
        }
    }

    /// One of the DAGs.
    pub fn any(&self, chance: &mut Chance) -> &str {
        let at = chance.between(0, self.dags.len() as u64 - 1) as usize;
        self.dags.keys().nth(at).map_or("", String::as_str)
    }

    /// What a task waits for.
    pub fn upstream(&self, dag: &str, task: &str) -> &[String] {
        &self.dags[dag][task].upstream
    }

    /// The DAG files by name.
    pub fn files(&self) -> Vec<(String, String)> {
        self.dags
            .iter()
            .map(|(name, tasks)| (name.clone(), self.file(tasks)))
            .collect()
    }

    fn file(&self, tasks: &Tasks) -> String {
        let mut text = format!(
            "[dag]\nmax_active_runs = 32\n[default_args]\nretries = {}\nretry_delay = '50ms'\nenv = {{ JOURNAL = '{}' }}\n",
            self.retries, self.journal
        );
        for (name, task) in tasks {
            let wait = if task.millis == 0 {
                String::new()
            } else {
                format!("sleep 0.{:03}\n", task.millis)
            };
            let say = |what| {
                format!(
                    "printf '%s\\n' \"$TIDEMILL_DAG_ID/$TIDEMILL_RUN_ID,$TIDEMILL_TASK_ID,$TIDEMILL_EPOCH,{what}\" >> \"$JOURNAL\"\n"
                )
            };
            text.push_str(&format!(
                "[tasks.{name}]\ndepends_on = {:?}\n[tasks.{name}.shell]\ninterpreter = ['/bin/sh', '-eu', '-c']\ncommand = '''\n{}{wait}{}'''\n",
                task.upstream,
                say("start"),
                say("end")
            ));
        }
        text
    }
}

/// Triggers by idempotency key.
#[derive(Default)]
pub struct Triggers {
    planned: Vec<(String, String)>,
    answered: BTreeMap<String, (String, String)>,
    lost_answers: usize,
}

impl Triggers {
    /// Another run that is wanted.
    pub fn plan(&mut self, dag: &str) {
        let key = format!("key-{}", self.planned.len() + self.answered.len());
        self.planned.push((key, dag.to_string()));
    }

    /// Sends what has not been acknowledged; what fails is sent again the next time.
    pub fn send(&mut self, place: &Place) {
        for (key, dag) in std::mem::take(&mut self.planned) {
            match trigger(place, &key, &dag) {
                Some(run) => {
                    self.answered.insert(key, (dag, run));
                }
                None => {
                    self.lost_answers += 1;
                    self.planned.push((key, dag));
                }
            }
        }
    }

    /// Sends every acknowledged trigger once more: the answers must be the same runs.
    pub fn send_again(&self, place: &Place) {
        for (key, (dag, run)) in &self.answered {
            assert_eq!(
                trigger(place, key, dag).as_ref(),
                Some(run),
                "key {key} of {dag} made another run"
            );
        }
        println!(
            "{} triggers, {} answers lost on the way",
            self.answered.len(),
            self.lost_answers
        );
    }

    /// How many have no answer.
    pub fn open(&self) -> usize {
        self.planned.len()
    }

    /// Names of all runs that were acknowledged, as `dag/run`.
    pub fn acknowledged(&self) -> BTreeSet<String> {
        let names: BTreeSet<String> = self
            .answered
            .values()
            .map(|(dag, run)| format!("{dag}/{run}"))
            .collect();
        assert_eq!(
            names.len(),
            self.answered.len(),
            "two keys were given the same run"
        );
        names
    }
}

fn trigger(place: &Place, key: &str, dag: &str) -> Option<String> {
    let output = place.call(&[
        "dags",
        "trigger",
        dag,
        "-o",
        "json",
        "--idempotency-key",
        key,
    ]);
    if !output.status.success() {
        return None;
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(answer["dag_run_id"].as_str()?.to_string())
}
