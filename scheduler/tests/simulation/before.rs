//! What an event found, and what it says: its end is judged by them.

use crate::world::World;
use std::collections::BTreeSet;
use tidemill_model::attempt::Verdict;
use tidemill_model::{Attempt, Outcome, Reason, RunRow, RunState, TaskIndex, TaskRow, TaskState};
use tidemill_scheduler::Event;

/// The run as an event found it.
pub struct Before {
    pub tasks: Vec<TaskRow>,
    pub run: RunRow,
    /// What a person wants.
    pub wish: Option<Wish>,
    /// What is told of an attempt.
    pub about: Option<About>,
    /// What ends well by this event without a report.
    pub heard: Option<TaskIndex>,
    /// Does a timer ring before the instant that its instance waits for, or where none waits?
    pub is_early: bool,
    /// Why the run is to end, if the event ends it.
    pub ends_by: Option<Reason>,
}

/// A person's wish, as far as it may change what is over.
pub enum Wish {
    Clear(BTreeSet<TaskIndex>),
    Mark(BTreeSet<TaskIndex>, TaskState),
    MarkRun,
    /// Of what is over nothing changes.
    End,
}

/// What is told of an attempt.
pub struct About {
    pub attempt: Attempt,
    /// Its place, if it is the current one and live.
    pub at: Option<TaskIndex>,
    pub news: News,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum News {
    Claimed(i64),
    Deferred,
    Success,
    /// It has found so many values for a mapped task.
    Items(usize),
    /// It has begun to wait for something that needs no worker.
    Waits,
    Skipped,
    /// Was it killed?
    Failed(bool),
    Interrupted,
    /// May the task be to blame?
    Lost(bool),
}

impl News {
    pub const fn is_success(self) -> bool {
        matches!(self, News::Success | News::Items(_) | News::Waits)
    }
}

impl Wish {
    fn of(event: &Event) -> Option<Wish> {
        let set = |tasks: &[TaskIndex]| tasks.iter().copied().collect();
        match event {
            Event::Clear(tasks) => Some(Wish::Clear(set(tasks))),
            Event::Mark(tasks, state) => Some(Wish::Mark(set(tasks), *state)),
            Event::MarkRun(RunState::Success) => Some(Wish::MarkRun),
            Event::MarkRun(_) | Event::Cancel | Event::Replace => Some(Wish::End),
            _ => None,
        }
    }

    /// May it change an instance that is over?
    pub fn may_change(&self, at: TaskIndex, old: TaskState, new: TaskState) -> bool {
        match self {
            Wish::Clear(tasks) => tasks.contains(&at),
            Wish::Mark(tasks, state) => tasks.contains(&at) && new == *state,
            Wish::MarkRun => old != TaskState::Skipped && new == TaskState::Success,
            Wish::End => false,
        }
    }

    /// May it make an instance succeed?
    pub fn may_succeed(&self, at: TaskIndex) -> bool {
        match self {
            Wish::Mark(tasks, state) => *state == TaskState::Success && tasks.contains(&at),
            Wish::MarkRun => true,
            Wish::Clear(_) | Wish::End => false,
        }
    }
}

impl World {
    pub fn look(&self, event: &Event) -> Before {
        let is_early = |at: TaskIndex| {
            let row = self.run.tasks.get(at.at());
            let due = row.and_then(|row| row.not_before);
            due.is_none_or(|due| due > self.now)
        };
        let ends_by = match event {
            Event::Cancel => Some(Reason::Cancelled),
            Event::Replace => Some(Reason::Replaced),
            Event::RunTimedOut => Some(Reason::TimedOut),
            Event::MarkRun(RunState::Failed) => Some(Reason::Marked),
            _ => None,
        };
        Before {
            tasks: self.run.tasks.clone(),
            run: self.run.row.clone(),
            wish: Wish::of(event),
            about: self.about(event),
            heard: self.ends_well_by(event),
            is_early: matches!(event, Event::TimerDue(at) if is_early(*at)),
            ends_by,
        }
    }

    fn about(&self, event: &Event) -> Option<About> {
        let (attempt, news) = match event {
            Event::Claimed { attempt, worker } => (*attempt, News::Claimed(*worker)),
            Event::AttemptLost { attempt, blame } => (*attempt, News::Lost(*blame)),
            Event::AttemptEnded { attempt, outcome } => (*attempt, self.told(*attempt, outcome)),
            _ => return None,
        };
        let is_it = |at: &TaskIndex| self.run.attempt(*at) == attempt;
        let mut same = self.run.places().filter(is_it);
        let at = same.find(|at| self.run.tasks[at.at()].is_live());
        Some(About { attempt, at, news })
    }

    fn told(&self, attempt: Attempt, outcome: &Outcome) -> News {
        let task = self.run.place_of(attempt).map(|at| self.run.task(at));
        let is_wait = task.is_some_and(|task| task.operator.is_wait());
        match (outcome.verdict, &outcome.items) {
            (Verdict::Lost, _) => News::Lost(true),
            (Verdict::Deferred, _) => News::Deferred,
            _ if outcome.reason == Some(Reason::Interrupted) => News::Interrupted,
            (Verdict::Failed, _) => News::Failed(outcome.reason == Some(Reason::Cancelled)),
            (Verdict::Skipped, _) => News::Skipped,
            (Verdict::Success, _) if outcome.child.is_some() => News::Waits,
            (Verdict::Success, Some(items)) => News::Items(items.len()),
            (Verdict::Success, None) if is_wait => News::Waits,
            (Verdict::Success, None) => News::Success,
        }
    }
}
