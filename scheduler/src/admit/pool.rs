//! A pool: its slots, who holds them, and who waits for them.

use super::queue::{Age, Queue};
use std::collections::{BTreeMap, BTreeSet};

/// A worker queue, by the order in which they were first named.
pub(super) type QueueId = usize;

/// A pool as somebody has set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimit {
    /// Its name.
    pub name: String,
    /// How many slots it has; below zero there is no limit.
    pub slots: i64,
    /// Do deferred tasks keep their slots?
    pub include_deferred: bool,
}

/// One pool of the admission.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub name: String,
    /// `None` while nobody has made it: then nothing in it may go.
    pub limit: Option<PoolLimit>,
    /// Slots of live attempts.
    pub n_live: u64,
    /// Slots of deferred instances.
    pub n_deferred: u64,
    /// Grants so far, for the fair share.
    pub n_granted: u64,
    /// Who may go but for this pool, by the slots that they take and the workers that may run
    /// them.
    pub waiting: BTreeMap<(u32, QueueId), Queue>,
}

/// Who may take slots of a pool now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Whose turn it is.
    pub first: Age,
    /// Who has waited longest.
    pub oldest: Age,
}

/// One that waits, and the slots that it takes.
type Wide = (Age, u32);

impl Pool {
    /// All its slots; 0 while it is not there.
    pub(super) fn total(&self) -> u64 {
        match &self.limit {
            None => 0,
            Some(limit) => u64::try_from(limit.slots).unwrap_or(u64::MAX),
        }
    }

    /// The slots that are taken.
    pub(super) fn occupied(&self) -> u64 {
        let keeps = self
            .limit
            .as_ref()
            .is_some_and(|limit| limit.include_deferred);
        self.n_live + if keeps { self.n_deferred } else { 0 }
    }

    /// The slots that are free; none while more are taken than there are.
    pub(super) fn free(&self) -> u64 {
        self.total().saturating_sub(self.occupied())
    }

    /// The one that has waited longest among those that could ever fit.
    fn oldest(&self, closed: &BTreeSet<QueueId>) -> Option<Wide> {
        let total = u32::try_from(self.total()).unwrap_or(u32::MAX);
        let oldest = self
            .open(total, closed)
            .map(|(width, queue)| (queue.oldest(), width));
        oldest.filter_map(|(age, width)| Some((age?, width))).min()
    }

    /// Whose turn it is among those that fit now.
    fn first(&self, closed: &BTreeSet<QueueId>) -> Option<Wide> {
        let free = u32::try_from(self.free()).unwrap_or(u32::MAX);
        let firsts = self
            .open(free, closed)
            .filter_map(|(width, queue)| Some((queue.first()?, width)));
        firsts.min_by_key(|(first, _)| first.turn)
    }

    /// Those that take at most so many slots, and whose worker queue has room.
    fn open<'a>(
        &'a self,
        width_max: u32,
        closed: &'a BTreeSet<QueueId>,
    ) -> impl Iterator<Item = (u32, &'a Queue)> {
        self.waiting
            .range(..=(width_max, QueueId::MAX))
            .filter(|((_, queue), _)| !closed.contains(queue))
            .map(|((width, _), queue)| (*width, queue))
    }

    /// The one for which free slots are kept whole: it has waited longest, and a narrower one
    /// whose turn it is would take of them what it needs.
    pub(super) fn kept_for(&self, closed: &BTreeSet<QueueId>) -> Option<Wide> {
        let (oldest, width) = self.oldest(closed)?;
        let (_, taken) = self.first(closed)?;
        let would_fit = self.free() >= u64::from(taken) + u64::from(width);
        (taken < width && !would_fit).then_some((oldest, width))
    }

    /// Whom free slots may be given to.
    pub(super) fn offer(&self, closed: &BTreeSet<QueueId>) -> Option<Offer> {
        let (oldest, width) = self.oldest(closed)?;
        let (first, _) = self.first(closed)?;
        match self.kept_for(closed) {
            Some(_) if u64::from(width) > self.free() => None,
            Some((first, _)) => Some(Offer { first, oldest }),
            None => Some(Offer { first, oldest }),
        }
    }
}
