//! The recording of Airflow's answers.

use serde::Deserialize;
use std::collections::BTreeMap;

/// What was asked, and who answered.
pub struct Recording {
    pub airflow: String,
    pub seed: u64,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Head {
    airflow: String,
    seed: u64,
    cases: usize,
}

/// A DAG and how it ended.
#[derive(Debug, Deserialize)]
pub struct Case {
    #[serde(default)]
    pub fast: bool,
    pub tasks: Vec<Asked>,
    #[serde(flatten)]
    pub answer: Answer,
    pub log: Vec<String>,
}

/// A task of it.
#[derive(Debug, Deserialize)]
pub struct Asked {
    pub id: String,
    pub kind: String,
    pub rule: String,
    pub after: Vec<String>,
    pub retries: u32,
    /// How each try ends: so many failures, then the letter's state.
    #[serde(default)]
    pub fate: String,
    /// The same for each instance of a mapped task.
    #[serde(default)]
    pub fates: Vec<String>,
    #[serde(default)]
    pub follow: Option<Follow>,
}

/// Where a branch or a gate goes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Follow {
    All(bool),
    These(Vec<String>),
}

/// The end of a run: its state, and those of each task's instances in order.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Answer {
    pub run: String,
    pub states: BTreeMap<String, Vec<String>>,
}

pub fn read() -> Recording {
    let text = include_str!("../../../tests/airflow/answers.jsonl");
    let mut lines = text.lines();
    let head: Head = serde_json::from_str(lines.next().unwrap()).unwrap();
    let cases: Vec<Case> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(cases.len(), head.cases, "the recording is cut");
    Recording {
        airflow: head.airflow,
        seed: head.seed,
        cases,
    }
}
