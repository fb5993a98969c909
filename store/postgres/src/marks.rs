//! Where the scheduler's scans of the queues begin.
//!
//! Rows of `dispatch` and `report` live for a moment, and the dead ones stay on the disk for as
//! long as somebody holds a snapshot open. A scan from the beginning would look at all of them, so
//! each begins at a mark: nothing that lives, and nothing that may still come, is below it.

use std::collections::{BTreeSet, HashMap, HashSet};
use tidemill_model::Attempt;
use tidemill_store::Pass;

/// The stored mark may lag so many passes behind: not each of them needs to write one.
const LAG_MAX: i64 = 8;

/// What one holder of the term knows of the queues.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The number of the next pass that dispatches something.
    next_seq: i64,
    /// The stored mark.
    stored: i64,
    numbers: HashMap<Attempt, i64>,
    living: BTreeSet<(i64, Attempt)>,
    /// Reports of transactions before this one have all been told and settled.
    reports_from: u64,
    /// The mark to be, once every told report is settled.
    reports_next: Option<u64>,
    told: HashSet<Attempt>,
}

impl Marks {
    /// From what stands in the tables.
    pub(crate) fn new(stored: i64, rows: Vec<(Attempt, i64)>) -> Marks {
        let highest = rows.iter().map(|(_, seq)| *seq).max().unwrap_or(0);
        Marks {
            next_seq: highest.max(stored) + 1,
            stored,
            living: rows.iter().map(|(attempt, seq)| (*seq, *attempt)).collect(),
            numbers: rows.into_iter().collect(),
            ..Marks::default()
        }
    }

    /// The number of what the next pass dispatches.
    pub(crate) fn next_seq(&self) -> i64 {
        self.next_seq
    }

    /// Nothing in `dispatch` is below this.
    pub(crate) fn dispatch(&self) -> i64 {
        self.living.first().map_or(self.next_seq, |first| first.0)
    }

    /// The stored mark.
    pub(crate) fn stored(&self) -> i64 {
        self.stored
    }

    /// The mark that the next pass should store, when the stored one is far behind.
    pub(crate) fn to_store(&self) -> Option<i64> {
        Some(self.dispatch()).filter(|mark| *mark >= self.stored + LAG_MAX)
    }

    /// A pass is committed that was numbered and has stored a mark as this said.
    pub(crate) fn committed(&mut self, pass: &Pass) {
        self.stored = self.to_store().unwrap_or(self.stored);
        for dispatch in &pass.dispatches {
            let known = self
                .numbers
                .entry(dispatch.attempt)
                .or_insert(self.next_seq);
            self.living.insert((*known, dispatch.attempt));
        }
        self.next_seq += i64::from(!pass.dispatches.is_empty());
        for attempt in pass.claimed.iter().chain(&pass.settled) {
            if let Some(seq) = self.numbers.remove(attempt) {
                self.living.remove(&(seq, *attempt));
            }
        }
        for attempt in &pass.settled {
            self.told.remove(attempt);
        }
    }

    /// Where the next look at reports begins.
    pub(crate) fn reports(&mut self) -> u64 {
        if self.told.is_empty()
            && let Some(next) = self.reports_next.take()
        {
            self.reports_from = next;
        }
        self.reports_from
    }

    /// A look at reports has told these. `oldest` is the oldest transaction that was under way;
    /// nothing, when there may be more reports than were told.
    pub(crate) fn looked(&mut self, told: impl Iterator<Item = Attempt>, oldest: Option<u64>) {
        self.told.extend(told);
        self.reports_next = oldest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_model::{Epoch, MapIndex, RunNo, TaskNo, VersionNo};
    use tidemill_store::Dispatch;

    fn attempt(task: i32) -> Attempt {
        Attempt {
            run: RunNo(1),
            task_no: TaskNo(task),
            map_index: MapIndex::NONE,
            epoch: Epoch(1),
        }
    }

    fn pass(dispatched: &[i32], claimed: &[i32], settled: &[i32]) -> Pass {
        let dispatch = |task: &i32| Dispatch {
            attempt: attempt(*task),
            queue: String::new(),
            priority: 1,
            version: VersionNo(1),
            try_number: 1,
            sealed: None,
        };
        Pass {
            dispatches: dispatched.iter().map(dispatch).collect(),
            claimed: claimed.iter().copied().map(attempt).collect(),
            settled: settled.iter().copied().map(attempt).collect(),
            ..Pass::default()
        }
    }

    #[test]
    fn the_mark_of_dispatch_is_the_oldest_that_lives() {
        let mut marks = Marks::new(3, vec![(attempt(1), 7)]);
        assert_eq!((marks.next_seq(), marks.dispatch()), (8, 7));
        marks.committed(&pass(&[2, 3], &[], &[]));
        assert_eq!((marks.next_seq(), marks.dispatch()), (9, 7));
        marks.committed(&pass(&[], &[1], &[]));
        assert_eq!(marks.dispatch(), 8);
        marks.committed(&pass(&[4], &[2], &[3]));
        assert_eq!((marks.next_seq(), marks.dispatch()), (10, 9));
        marks.committed(&pass(&[], &[4], &[]));
        assert_eq!(marks.dispatch(), marks.next_seq());
    }

    #[test]
    fn the_stored_mark_lags_and_is_never_above_what_lives() {
        let mut marks = Marks::new(0, Vec::new());
        for task in 0..1_000 {
            if let Some(mark) = marks.to_store() {
                assert!(mark <= marks.dispatch() && mark >= marks.stored + LAG_MAX);
            }
            marks.committed(&pass(&[task], &[task - 5], &[]));
            assert!(marks.stored <= marks.dispatch());
            assert!(marks.dispatch() - marks.stored <= LAG_MAX);
        }
        assert!(marks.stored > 980);
    }

    #[test]
    fn reports_are_looked_for_from_the_start_until_all_that_were_told_are_settled() {
        let mut marks = Marks::new(0, Vec::new());
        assert_eq!(marks.reports(), 0);
        marks.looked([attempt(1), attempt(2)].into_iter(), Some(70));
        assert_eq!(marks.reports(), 0);
        marks.committed(&pass(&[], &[], &[1]));
        assert_eq!(marks.reports(), 0);
        marks.looked([attempt(2), attempt(3)].into_iter(), None);
        marks.committed(&pass(&[], &[], &[2, 3]));
        assert_eq!(marks.reports(), 0, "there may be more");
        marks.looked([].into_iter(), Some(90));
        assert_eq!(marks.reports(), 90);
    }
}
