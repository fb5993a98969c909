//! Which partitions a session reads, and from where: cursors that are stored, and where there is
//! none, a new one.

use super::session::{Session, Trouble};
use super::start::{Topics, resolve, watermarks};
use crate::task::is_same;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidemill_model::trigger::{OnDataLoss, Start, WhenPaused};
use tidemill_store::{Counts, Cursor, Cut, Partition};

/// Brokers that did not tell ids are asked again so much later: each such question costs a wait.
const IDS_PAUSE: Duration = Duration::from_secs(60);
/// Before a commit the topics may have been looked at so long ago.
const IDS_AGE_MAX: Duration = Duration::from_millis(250);

/// When brokers that did not tell the ids of topics are asked for them again.
#[derive(Default)]
pub(crate) struct IdsPause(Mutex<Option<Instant>>);

impl IdsPause {
    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_be_asked(&self) -> bool {
        self.until().is_none_or(|until| Instant::now() >= until)
    }

    fn pause(&self) {
        *self.until() = Some(Instant::now() + IDS_PAUSE);
    }
}

impl Session<'_> {
    /// Assigns what there is to read.
    pub(crate) fn begin(&mut self) -> Result<(), Trouble> {
        if self.worker.spec.is_replay() {
            let open = self.stored()?.into_iter();
            let open = open.filter(|cursor| cursor.end_offset > Some(cursor.next_offset));
            return open.into_iter().try_for_each(|cursor| self.add(cursor));
        }
        let found = self.topics()?;
        self.notes = found.missing;
        let cursors = self.cursors_of(&found.partitions)?;
        if cursors.is_empty() {
            return Err(Trouble::Outside(self.notes.join("; ")));
        }
        if self.rules.kafka.when_paused == WhenPaused::Skip && self.worker.was_paused() {
            self.skip(&cursors)?;
            self.worker.control.reopen();
            return Ok(());
        }
        cursors.into_iter().try_for_each(|cursor| self.add(cursor))
    }

    fn topics(&self) -> Result<Topics, Trouble> {
        let kafka = self.rules.kafka;
        let pattern = self.rules.pattern.as_ref();
        Topics::ask(&self.client, &kafka.topics, pattern, |topics| {
            self.ids(topics)
        })
    }

    /// The ids of topics, from brokers that tell them.
    fn ids(&self, topics: &[&str]) -> Option<BTreeMap<String, String>> {
        if !self.worker.ids.may_be_asked() {
            return None;
        }
        let found = super::start::ids(&self.client, topics);
        if found.is_none() {
            self.worker.ids.pause();
        }
        found
    }

    fn stored(&self) -> Result<Vec<Cursor>, Trouble> {
        let (ports, spec) = (&self.worker.ports, &self.worker.spec);
        let read = ports.store.cursors(self.record.trigger, spec.replay);
        Ok(ports.runtime.block_on(read)?)
    }

    /// The cursors of partitions, begun where there is none. Where reading begins is decided once:
    /// partitions that come later begin at their first record, or what was written before they
    /// were found would be lost.
    fn cursors_of(&mut self, found: &[Partition]) -> Result<Vec<Cursor>, Trouble> {
        let known = self.stored()?;
        let mut fresh = Vec::new();
        for partition in found {
            if known.iter().any(|one| is_same(&one.partition, partition)) {
                continue;
            }
            let is_place = |one: &&Cursor| {
                let known = &one.partition;
                (&known.topic, known.partition) == (&partition.topic, partition.partition)
            };
            let before = known
                .iter()
                .filter(is_place)
                .max_by_key(|one| one.updated_at);
            let next_offset = match before {
                Some(before) => match self.made_anew(before, partition)? {
                    Some(offset) => offset,
                    None => continue,
                },
                None => self.first_offset(&known, partition)?,
            };
            fresh.push(self.fresh(partition, next_offset));
        }
        let (ports, term) = (&self.worker.ports, self.worker.spec.term);
        if !fresh.is_empty() {
            let begun = ports.store.begin_cursors(term, &fresh);
            ports.runtime.block_on(begun)?;
        }
        let all = self.stored()?;
        let current = found.iter().filter_map(|partition| {
            let same = |one: &&Cursor| is_same(&one.partition, partition);
            let of_it = all.iter().filter(same).max_by_key(|one| one.updated_at);
            // A topic that was made anew and halts is told by the cursor that it had.
            let halted = || {
                let is_place = |one: &&Cursor| {
                    one.halted.is_some()
                        && one.partition.topic == partition.topic
                        && one.partition.partition == partition.partition
                };
                all.iter().filter(is_place).max_by_key(|one| one.updated_at)
            };
            of_it.or_else(halted).cloned()
        });
        Ok(current.collect())
    }

    fn fresh(&self, partition: &Partition, next_offset: i64) -> Cursor {
        let spec = &self.worker.spec;
        tracing::info!(
            dag.id = %spec.dag_id, trigger = %spec.trigger.name, topic = %partition.topic,
            partition = partition.partition, next_offset, "A stream begins here"
        );
        Cursor {
            trigger: self.record.trigger,
            replay: spec.replay,
            generation: 0,
            partition: partition.clone(),
            next_offset,
            end_offset: None,
            halted: None,
            counts: Counts::default(),
            updated_at: (self.worker.ports.now)(),
        }
    }

    fn first_offset(&self, known: &[Cursor], partition: &Partition) -> Result<i64, Trouble> {
        let has_pattern = self.rules.pattern.is_some() && !known.is_empty();
        let mut topics = known.iter().map(|one| &one.partition.topic);
        let is_later = has_pattern || topics.any(|topic| *topic == partition.topic);
        let start = match is_later {
            true => &Start::Earliest,
            false => &self.rules.kafka.start,
        };
        resolve(&self.client, partition, start, (self.worker.ports.now)())
    }

    /// A topic was deleted and made anew: where reading the new one begins. Nowhere, when a person
    /// is to say it; what was read of the old one says so then.
    fn made_anew(&self, before: &Cursor, now: &Partition) -> Result<Option<i64>, Trouble> {
        let policy = self.rules.kafka.on_data_loss;
        if policy == OnDataLoss::Fail && before.halted.is_some() {
            return Ok(None);
        }
        // Asked first: what fails here is done again, and the gap is told once.
        let (low, high) = watermarks(&self.client, now)?;
        let (ports, spec) = (&self.worker.ports, &self.worker.spec);
        let why = format!(
            "topic {} was made anew: its id was {} and is {}",
            now.topic, before.partition.incarnation, now.incarnation
        );
        tracing::error!(dag.id = %spec.dag_id, trigger = %spec.trigger.name, why, "A stream has lost its topic");
        let cut = Cut {
            partition: before.partition.clone(),
            expected: before.next_offset,
            end: before.next_offset,
            counts: Counts::default(),
            halted: (policy == OnDataLoss::Fail).then(|| why.clone()),
            gap: Some((before.next_offset, before.next_offset, why)),
        };
        let told = ports.store.seek(
            spec.term,
            self.record.trigger,
            spec.replay,
            std::slice::from_ref(&cut),
            (ports.now)(),
        );
        ports.runtime.block_on(told)?;
        if policy == OnDataLoss::Fail {
            return Ok(None);
        }
        Ok(Some(if policy == OnDataLoss::Earliest {
            low
        } else {
            high
        }))
    }

    /// Passes over what has come while nothing was read.
    fn skip(&self, cursors: &[Cursor]) -> Result<(), Trouble> {
        let (ports, spec) = (&self.worker.ports, &self.worker.spec);
        let mut cuts = Vec::new();
        for cursor in cursors.iter().filter(|cursor| cursor.halted.is_none()) {
            let (_, high) = watermarks(&self.client, &cursor.partition)?;
            if high > cursor.next_offset {
                cuts.push(Cut {
                    partition: cursor.partition.clone(),
                    expected: cursor.next_offset,
                    end: high,
                    counts: Counts {
                        skipped: high - cursor.next_offset,
                        ..Counts::default()
                    },
                    halted: None,
                    gap: None,
                });
            }
        }
        let moved = ports.store.seek(
            spec.term,
            self.record.trigger,
            spec.replay,
            &cuts,
            (ports.now)(),
        );
        ports.runtime.block_on(moved)?;
        Ok(())
    }

    /// Reads partitions that are new, and begins anew when a topic is another.
    pub(crate) fn look_for_partitions(&mut self) -> Result<(), Trouble> {
        let Ok(found) = self.topics() else {
            return Ok(()); // the client says itself that its brokers are away
        };
        self.notes = found.missing;
        self.ids_asked = Instant::now();
        let lanes = self.lanes.iter().map(|lane| &lane.reading.partition);
        let read = lanes.chain(self.halted.iter().map(|cursor| &cursor.partition));
        let read: Vec<Partition> = read.cloned().collect();
        let is_place = |one: &Partition, other: &Partition| {
            (&one.topic, one.partition) == (&other.topic, other.partition)
        };
        let mut fresh = Vec::new();
        for one in found.partitions {
            let known = read.iter().find(|known| is_place(known, &one));
            match known {
                None => fresh.push(one),
                Some(known) if is_same(known, &one) => {}
                Some(known) => {
                    let is_halted = self.halted.iter().any(|cursor| cursor.partition == *known);
                    if !is_halted {
                        self.worker.control.reopen();
                        return Ok(());
                    }
                }
            }
        }
        if !fresh.is_empty() {
            for cursor in self.cursors_of(&fresh)? {
                self.add(cursor)?;
            }
        }
        Ok(())
    }

    /// Has a topic that is read been deleted and made anew since it was last asked?
    pub(crate) fn is_another_topic(&mut self) -> bool {
        self.ids_asked.elapsed() >= IDS_AGE_MAX && self.is_another_now()
    }

    /// The same, asked now.
    pub(crate) fn is_another_now(&mut self) -> bool {
        self.ids_asked = Instant::now();
        let Some(ids) = self.ids(&self.topics_read()) else {
            return false;
        };
        self.lanes.iter().any(|lane| {
            let known = &lane.reading.partition;
            let id = ids.get(&known.topic);
            id.is_some_and(|id| !known.incarnation.is_empty() && *id != known.incarnation)
        })
    }
}
