//! Who gets the next free slot: a heap over all runs in Airflow's order, with a share for the
//! longest-waiting, so that nobody waits for ever behind heavier tasks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use tidemill_model::{RunNo, TaskIndex, Ts};

/// Every so many slots, one goes to the task that has waited longest.
const FAIR_SHARE: u64 = 8;

/// A task that wants a slot. The order of the fields is the order of the queue: weight first,
/// then the run that is due earlier, then the older run, then the file's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// The priority weight; heavier goes first.
    pub weight: Reverse<i64>,
    /// When the run was due.
    pub run_after: Ts,
    /// The run.
    pub run: RunNo,
    /// The task.
    pub task: TaskIndex,
}

/// The tasks that want a slot. An entry may be out of date (cleared, marked, already picked);
/// whoever takes it asks the run whether it still waits.
#[derive(Debug, Default)]
pub struct Ready {
    heap: BinaryHeap<Reverse<Waiting>>,
    arrivals: VecDeque<Waiting>,
    n_taken: u64,
}

impl Ready {
    /// Adds a task.
    pub fn push(&mut self, waiting: Waiting) {
        self.heap.push(Reverse(waiting));
        self.arrivals.push_back(waiting);
    }

    /// The next task that `still_waits`; entries that do not are forgotten.
    pub fn take(&mut self, still_waits: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        while self
            .arrivals
            .front()
            .is_some_and(|oldest| !still_waits(oldest))
        {
            self.arrivals.pop_front();
        }
        self.n_taken += 1;
        if self.n_taken.is_multiple_of(FAIR_SHARE)
            && let Some(oldest) = self.arrivals.pop_front()
        {
            return Some(oldest);
        }
        loop {
            let Reverse(next) = self.heap.pop()?;
            if still_waits(&next) {
                return Some(next);
            }
        }
    }

    /// Is nobody waiting, as far as is known?
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(weight: i64, run: i64, task: u32) -> Waiting {
        Waiting {
            weight: Reverse(weight),
            run_after: Ts(run),
            run: RunNo(run),
            task: TaskIndex(task),
        }
    }

    #[test]
    fn the_heavier_goes_first_and_the_oldest_is_not_starved() {
        let mut ready = Ready::default();
        ready.push(waiting(1, 1, 0));
        for task in 0..100 {
            ready.push(waiting(9, 2, task));
        }
        let order: Vec<Waiting> = (0..8).filter_map(|_| ready.take(|_| true)).collect();
        assert!(order[..7].iter().all(|first| first.weight == Reverse(9)));
        assert_eq!(order[7], waiting(1, 1, 0));
    }
}
