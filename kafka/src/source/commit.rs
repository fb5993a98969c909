//! What was read becomes runs, in one transaction with the offsets.

use super::reading::{RUNS_PER_COMMIT, Reading, Taken, sha256};
use super::runs::Maker;
use super::session::{Ended, Session, Trouble};
use crate::status::State;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tidemill_model::Ts;
use tidemill_store::{
    Committed, LIVE, NewStreamRun, Partition, SeenKey, StoreError, StreamCommit, fault,
};

/// A store that has failed is asked again so soon.
const STORE_RETRY: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Commits what is due, if anything is.
    pub(crate) fn commit_due(&mut self) -> Result<Option<Ended>, Trouble> {
        let mut taken = self.take_due();
        if taken.is_empty() {
            return Ok(None);
        }
        if self.is_another_topic() {
            // Nothing of it is written: the cursors are read anew, and the topics looked at.
            return Ok(Some(Ended::Fenced));
        }
        taken.sort_by(|a, b| a.cut.partition.cmp(&b.cut.partition));
        let now = (self.worker.ports.now)();
        let seen = self.drop_doubles(&mut taken, now)?;
        let maker = Maker {
            spec: &self.worker.spec,
            ports: &self.worker.ports,
            trigger: self.record.trigger,
            replay: self.worker.spec.replay,
        };
        let mut runs = Vec::new();
        if self.is_one_batch() {
            runs.extend(maker.run_of_all(&mut taken, now));
        } else {
            for one in &mut taken {
                runs.extend(maker.runs(one, now));
            }
        }
        self.name_apart(&mut runs)?;
        let mut commit = StreamCommit {
            term: self.worker.spec.term,
            trigger: self.record.trigger,
            replay: self.worker.spec.replay,
            now,
            cuts: Vec::with_capacity(taken.len()),
            runs,
            poison: Vec::new(),
            seen,
            retried: Vec::new(),
        };
        for one in taken {
            commit.cuts.push(one.cut);
            commit.poison.extend(one.poison);
        }
        let begun = Instant::now();
        let written = self.write(&commit)?;
        let took = begun.elapsed().as_micros() as u64;
        self.worker.tell(|status| status.commit_us += took);
        match written {
            Some(Committed::Done) => {
                self.committed(commit);
                Ok(None)
            }
            Some(Committed::Fenced | Committed::Paused) => Ok(Some(Ended::Fenced)),
            None => Ok(Some(Ended::Asked)),
        }
    }

    /// A name that the trigger gives and that another run has already gets the run's number.
    fn name_apart(&self, runs: &mut [NewStreamRun]) -> Result<(), Trouble> {
        if self.worker.spec.trigger.run_id.is_none() {
            return Ok(());
        }
        let names: Vec<String> = runs.iter().map(|run| run.row.run_id.clone()).collect();
        let ports = &self.worker.ports;
        let taken = ports.store.run_ids_taken(self.worker.spec.dag, &names);
        let mut taken: HashSet<String> = ports.runtime.block_on(taken)?.into_iter().collect();
        for run in runs {
            if !taken.insert(run.row.run_id.clone()) {
                run.row.run_id = format!("{}__{}", run.row.run_id, run.row.run);
            }
        }
        Ok(())
    }

    /// What is due, of as many partitions as one transaction should have. While it is held back
    /// nothing is, for that would make runs.
    fn take_due(&mut self) -> Vec<Taken> {
        let now = Instant::now();
        let mut taken = Vec::new();
        let mut n_records = 0;
        let (rules, waits) = (&self.rules, self.waits_for_others());
        let is_due = |reading: &Reading| reading.due(rules, waits).is_some_and(|due| due <= now);
        // Where all partitions share a run, one that is due takes the others with it.
        let any_due = || self.lanes.iter().any(|lane| is_due(&lane.reading));
        let all_due = self.is_one_batch() && (self.is_full() || any_due());
        for lane in &mut self.lanes {
            let has_moved = lane.reading.position > lane.reading.stored;
            let is_due = is_due(&lane.reading) || all_due && has_moved;
            if is_due && !self.is_held && n_records < RUNS_PER_COMMIT {
                let one = lane.reading.cut(now);
                n_records += one.records.len();
                taken.push(one);
            }
        }
        taken
    }

    /// Writes a commit, and asks until it is known what became of it. A lost answer is not guessed
    /// at: the same commit is sent again, and if its cursors stand elsewhere by then, its own
    /// batch is looked for. `None` when the source was told to stop meanwhile.
    fn write(&self, commit: &StreamCommit) -> Result<Option<Committed>, Trouble> {
        let ports = &self.worker.ports;
        loop {
            fault::here("stream before commit");
            match ports.runtime.block_on(ports.store.commit_stream(commit)) {
                Ok(Committed::Fenced) => match self.has_happened(commit) {
                    Ok(true) => return Ok(Some(Committed::Done)),
                    Ok(false) => return Ok(Some(Committed::Fenced)),
                    Err(StoreError::TermLost) => return Err(Trouble::TermLost),
                    Err(err) => self.say_away(&err),
                },
                Ok(known) => return Ok(Some(known)),
                Err(StoreError::TermLost) => return Err(Trouble::TermLost),
                Err(err) => self.say_away(&err),
            }
            self.worker.control.wait(STORE_RETRY);
            if self.worker.control.is_stopped() {
                return Ok(None);
            }
        }
    }

    fn say_away(&self, err: &StoreError) {
        tracing::warn!(%err, "A commit of a stream is tried again");
        let why = format!("the database cannot be used: {err}");
        self.worker
            .tell(|status| status.state = State::Waiting(why));
    }

    /// Is this commit stored already? Its first batch says so; without one, its cursors.
    fn has_happened(&self, commit: &StreamCommit) -> Result<bool, StoreError> {
        let ports = &self.worker.ports;
        if let Some(first) = commit.runs.first() {
            let found = ports.runtime.block_on(ports.store.batch(first.row.run))?;
            return Ok(found.as_ref() == Some(&first.batch));
        }
        let cursors = ports.store.cursors(commit.trigger, commit.replay);
        let cursors = ports.runtime.block_on(cursors)?;
        let is_there = |cut: &tidemill_store::Cut| {
            let mut of_it = cursors.iter().filter(|one| one.partition == cut.partition);
            of_it.any(|one| one.next_offset == cut.end)
        };
        Ok(commit.cuts.iter().all(is_there))
    }

    fn committed(&mut self, commit: StreamCommit) {
        fault::here("stream after commit");
        for cut in &commit.cuts {
            let lanes = self.lanes.iter_mut().map(|lane| &mut lane.reading);
            let mut of_it = lanes.filter(|reading| reading.partition == cut.partition);
            if let Some(reading) = of_it.next() {
                reading.committed(cut);
            }
        }
        self.tell_group(&commit);
        self.worker.tell(|status| status.n_commits += 1);
        if !commit.poison.is_empty() {
            self.worker.letters.ring();
        }
        let runs: Vec<NewStreamRun> = commit.runs;
        self.open_runs += runs.len() as i64;
        if !runs.is_empty() {
            (self.worker.ports.made)(runs);
        }
    }

    /// Tells the brokers how far reading is, for tools that show the lag of a group, where the file
    /// names the group. Nothing is read by it, so that it may fail.
    fn tell_group(&self, commit: &StreamCommit) {
        if self.rules.kafka.group_id.is_none() || self.worker.spec.is_replay() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for cut in &commit.cuts {
            let at = &cut.partition;
            let offset = Offset::Offset(cut.end);
            if let Err(err) = list.add_partition_offset(&at.topic, at.partition, offset) {
                tracing::debug!(%err, "An offset is not told to its group");
            }
        }
        if list.count() > 0
            && let Err(err) = self.client.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%err, "Offsets are not told to their group");
        }
    }

    /// Leaves out records whose key was seen, here or earlier; returns the keys that are new. Each
    /// source is the only one that writes its keys, so that nobody comes between.
    fn drop_doubles(&self, taken: &mut [Taken], now: Ts) -> Result<Vec<SeenKey>, Trouble> {
        let Some(dedupe) = &self.rules.kafka.dedupe else {
            return Ok(Vec::new());
        };
        let records = taken.iter().flat_map(|one| &one.records);
        let keys: Vec<[u8; 32]> = records.filter_map(|kept| kept.same).collect();
        let mut asked: Vec<[u8; 32]> = keys.iter().map(|key| self.own_key(key)).collect();
        if self.worker.spec.is_replay() {
            asked.extend(keys);
        }
        let ports = &self.worker.ports;
        let known = ports.store.seen(self.record.trigger, &asked, now);
        let known = ports.runtime.block_on(known)?;
        let mut seen: HashMap<[u8; 32], SeenKey> =
            known.into_iter().map(|key| (key.hash, key)).collect();
        let expires_at = now.after(dedupe.ttl);
        let mut fresh = Vec::new();
        for one in taken {
            let (cut, records) = (&mut one.cut, &mut one.records);
            records.retain(|kept| {
                let Some(key) = kept.same else { return true };
                let place = (&cut.partition, kept.offset);
                let own = self.own_key(&key);
                let is_itself = |first: &SeenKey| (&first.partition, first.offset) == place;
                let is_double = match seen.get(&own) {
                    Some(first) if is_itself(first) => return true,
                    Some(_) => true,
                    None => {
                        own != key && seen.get(&key).is_some_and(|first| is_ahead(first, place))
                    }
                };
                if is_double {
                    cut.counts.taken -= 1;
                    cut.counts.deduped += 1;
                    return false;
                }
                let first = SeenKey {
                    hash: own,
                    partition: cut.partition.clone(),
                    offset: kept.offset,
                    expires_at,
                };
                seen.insert(own, first.clone());
                fresh.push(first);
                true
            });
        }
        Ok(fresh)
    }

    /// Under what a source keeps a key. A replay has keys of its own: by what it reads again, which
    /// may lie before or behind the live reading, no record of that becomes a double.
    fn own_key(&self, key: &[u8; 32]) -> [u8; 32] {
        match self.worker.spec.replay {
            LIVE => *key,
            replay => sha256(&[&replay.to_be_bytes()[..], key].concat()),
        }
    }
}

/// Has the live reading seen a key before it came to this place? What it saw behind it came later.
fn is_ahead(first: &SeenKey, (partition, offset): (&Partition, i64)) -> bool {
    first.partition != *partition || first.offset < offset
}
