//! What the tasks say that they have read.

use super::support::waiting::whole_lines;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tidemill_store::LIVE;

/// The attempts that have come to their end, by run and fencing number, with their lines.
pub struct Journal {
    runs: BTreeMap<String, BTreeMap<i64, Vec<Value>>>,
}

impl Journal {
    /// Reads it. An attempt that was killed before its one write has left nothing; of one that
    /// writes just now there may be a part, which is no attempt that has come to its end.
    pub fn read(path: &Path) -> Journal {
        let whole = whole_lines(path);
        let mut lines: BTreeMap<(String, i64), Vec<&str>> = BTreeMap::new();
        let mut runs: BTreeMap<String, BTreeMap<i64, Vec<Value>>> = BTreeMap::new();
        for line in whole.lines().filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let (Some(run), Some(epoch), Some(rest)) = (words.next(), words.next(), words.next())
            else {
                panic!("an odd line in the journal: {line:?}")
            };
            let key = (run.to_string(), epoch.parse().unwrap());
            if rest == "END" {
                let ended = lines.remove(&key).unwrap_or_default();
                let read = |line: &str| serde_json::from_str(line).unwrap();
                let of_run = runs.entry(key.0).or_default();
                of_run.insert(key.1, ended.into_iter().map(read).collect());
            } else {
                lines.entry(key).or_default().push(rest);
            }
        }
        Journal { runs }
    }

    /// The runs of a replay, or those of the live reading: their names say it.
    pub fn of_reading(&self, replay: i64) -> Journal {
        let suffix = format!("__replay{replay}");
        let is_of_it = |run: &str| match replay {
            LIVE => !run.contains("__replay"),
            _ => run.ends_with(&suffix),
        };
        let runs = self.runs.iter().filter(|(run, _)| is_of_it(run));
        Journal {
            runs: runs
                .map(|(run, tries)| (run.clone(), tries.clone()))
                .collect(),
        }
    }

    /// How many runs have written.
    pub fn n_runs(&self) -> usize {
        self.runs.len()
    }

    /// Which run has which record, by partition and offset. What a run has read it has read the
    /// same at each try.
    pub fn places(&self) -> BTreeMap<(i64, i64), Vec<(String, String)>> {
        let mut places: BTreeMap<(i64, i64), Vec<(String, String)>> = BTreeMap::new();
        for (run, attempts) in &self.runs {
            let mut attempts = attempts.values();
            let first = attempts.next().unwrap();
            assert!(
                attempts.all(|other| other == first),
                "{run} has read something else when it was tried again"
            );
            for line in first {
                let place = (
                    line["partition"].as_i64().unwrap(),
                    line["offset"].as_i64().unwrap(),
                );
                let value = line["value"].as_str().unwrap().to_string();
                places.entry(place).or_default().push((run.clone(), value));
            }
        }
        places
    }

    /// Is each expected record in exactly one run, with the same bytes, and nothing else?
    pub fn check(&self, expected: &BTreeMap<(i32, i64), String>) {
        let places = self.places();
        for (place, found) in &places {
            assert_eq!(found.len(), 1, "{place:?} is in several runs: {found:?}");
            let key = (place.0 as i32, place.1);
            assert_eq!(
                Some(&found[0].1),
                expected.get(&key),
                "{place:?} of {}",
                found[0].0
            );
        }
        for (partition, offset) in expected.keys() {
            let place = (i64::from(*partition), *offset);
            assert!(places.contains_key(&place), "{place:?} is in no run");
        }
    }
}
