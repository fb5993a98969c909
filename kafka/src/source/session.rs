//! A client and its partitions, from `assign` until something ends it.

use super::control::Control;
use super::look::ASK_EVERY;
use super::reading::{Reading, Rules};
use super::start::watermarks;
use super::{SourceSpec, Worker};
use crate::client::{Quiet, cannot_make};
use crate::record::Record;
use crate::status::State;
use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_model::Ts;
use tidemill_model::trigger::{BatchBy, OnDataLoss, StreamMode};
use tidemill_store::{Counts, Cursor, Cut, StoreError, TriggerRecord, fault};

/// Records that are read from one partition before the next has its turn.
const TURN: usize = 1_000;
/// librdkafka's main queue is looked at so often: errors come there.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Why a session cannot go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another process is the scheduler now.
    TermLost,
    /// Something that mends without us, told to people.
    Outside(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::TermLost => f.write_str("this scheduler's term is over"),
            Trouble::Outside(why) => f.write_str(why),
        }
    }
}

impl Trouble {
    pub(crate) fn brokers(what: &str, err: &KafkaError) -> Trouble {
        let code = err
            .rdkafka_error_code()
            .map_or_else(|| err.to_string(), |code| code.to_string());
        Trouble::Outside(format!("the brokers cannot be used: {what} ({code})"))
    }
}

impl From<StoreError> for Trouble {
    fn from(err: StoreError) -> Trouble {
        match err {
            StoreError::TermLost => Trouble::TermLost,
            other => Trouble::Outside(other.to_string()),
        }
    }
}

/// How a session ended without trouble.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Asked,
    /// A cursor stood elsewhere, or the DAG was paused: what was read is forgotten.
    Fenced,
    /// A replay has read its range.
    Finished,
}

/// A partition, its queue, and its watermarks as they were last told.
pub(crate) struct Lane {
    pub(crate) reading: Reading,
    pub(crate) queue: PartitionQueue<Quiet>,
    topic: Arc<str>,
    pub(crate) marks: Option<(i64, i64)>,
    /// The partition's end with what open transactions have written.
    pub(crate) last: Option<i64>,
    /// Since when what can be read has ended before that.
    pub(crate) held_since: Option<Ts>,
}

pub(crate) struct Session<'w> {
    pub(crate) worker: &'w Worker,
    pub(crate) rules: Rules<'w>,
    pub(crate) client: Arc<BaseConsumer<Quiet>>,
    pub(crate) record: TriggerRecord,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) halted: Vec<Cursor>,
    /// Topics that are not there, and what the client says of itself.
    pub(crate) notes: Vec<String>,
    pub(crate) trouble: Option<String>,
    pub(crate) open_runs: i64,
    pub(crate) is_held: bool,
    next_count: Instant,
    pub(crate) next_ask: Instant,
    /// When it was last asked whether the topics are still the same.
    pub(crate) ids_asked: Instant,
    pub(crate) next_tell: Instant,
    /// How long topics keep their records, where the brokers tell it.
    pub(crate) retention: BTreeMap<String, Duration>,
    pub(crate) next_retention: Instant,
    /// Time that decoding and filtering took since it was last told.
    pub(crate) decode_us: u64,
}

fn group_of(spec: &SourceSpec) -> String {
    let given = spec.trigger.kafka.group_id.clone();
    given.unwrap_or_else(|| format!("tidemill.{}.{}", spec.dag_id, spec.trigger.name))
}

impl<'w> Session<'w> {
    pub(crate) fn open(worker: &'w Worker) -> Result<Session<'w>, Trouble> {
        worker.tell(|status| {
            if !matches!(status.state, State::Waiting(_)) {
                status.state = State::Connecting;
            }
        });
        let spec = &worker.spec;
        let kafka = &spec.trigger.kafka;
        let login = (worker.ports.login)().map_err(Trouble::Outside)?;
        let client: BaseConsumer<Quiet> = login
            .reader(&group_of(spec), kafka.isolation, &kafka.config)
            .create_with_context(Quiet)
            .map_err(|err| Trouble::Outside(cannot_make(&err)))?;
        let store = &worker.ports.store;
        let now = (worker.ports.now)();
        let record =
            worker
                .ports
                .runtime
                .block_on(store.put_trigger(spec.dag, &spec.trigger.name, now))?;
        let mut session = Session {
            rules: Rules::new(kafka).map_err(Trouble::Outside)?,
            client: Arc::new(client),
            record,
            lanes: Vec::new(),
            halted: Vec::new(),
            notes: Vec::new(),
            trouble: None,
            open_runs: 0,
            is_held: false,
            next_count: Instant::now(),
            next_ask: Instant::now() + ASK_EVERY,
            ids_asked: Instant::now(),
            next_tell: Instant::now(),
            retention: BTreeMap::new(),
            next_retention: Instant::now(),
            decode_us: 0,
            worker,
        };
        session.begin()?;
        Ok(session)
    }

    /// Begins to read a partition where its cursor stands.
    pub(crate) fn add(&mut self, cursor: Cursor) -> Result<(), Trouble> {
        if cursor.halted.is_some() {
            self.halted.push(cursor);
            return Ok(());
        }
        let partition = &cursor.partition;
        let marks = watermarks(&self.client, partition)?;
        let wrong = |what: &str| Trouble::Outside(format!("{what} of {}", partition.topic));
        let mut queue = self
            .client
            .split_partition_queue(&partition.topic, partition.partition)
            .ok_or_else(|| wrong("there is no queue for a partition"))?;
        let control = Arc::clone(&self.worker.control);
        queue.set_nonempty_callback(move || Control::ring(&control));
        let now = Instant::now();
        self.lanes.push(Lane {
            topic: partition.topic.as_str().into(),
            reading: Reading::new(&cursor, now),
            queue,
            marks: Some(marks),
            last: None,
            held_since: None,
        });
        let at = self.lanes.len() - 1;
        let (low, high) = marks;
        if cursor.next_offset < low || cursor.next_offset > high {
            return self.lose(at, low, high);
        }
        self.assign(at)
    }

    fn assign(&self, at: usize) -> Result<(), Trouble> {
        let reading = &self.lanes[at].reading;
        let partition = &reading.partition;
        let wrong = |err| Trouble::brokers("a partition cannot be assigned", &err);
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(reading.position);
        list.add_partition_offset(&partition.topic, partition.partition, offset)
            .map_err(wrong)?;
        self.client.incremental_assign(&list).map_err(wrong)
    }

    fn unassign(&self, at: usize) {
        let partition = &self.lanes[at].reading.partition;
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition);
        // What is not assigned needs nothing more.
        let _ = self.client.incremental_unassign(&list);
    }

    /// Records are gone that were not read: says so, and goes on where the trigger says.
    fn lose(&mut self, at: usize, low: i64, high: i64) -> Result<(), Trouble> {
        if self.is_another_now() {
            // What is there is not what was read: the cursors are looked at anew.
            self.worker.control.reopen();
            return Ok(());
        }
        let worker = self.worker;
        let reading = &self.lanes[at].reading;
        let stored = reading.stored;
        let end = match self.rules.kafka.on_data_loss {
            OnDataLoss::Fail => stored,
            OnDataLoss::Earliest => low,
            OnDataLoss::Latest => high,
        };
        let end = reading.end.map_or(end, |last| end.min(last));
        let why = if stored < low {
            format!(
                "records {stored} to {} are gone: the oldest that is kept is {low}",
                low - 1
            )
        } else {
            format!(
                "the next record would be {stored}, but the partition ends at {high}: the topic was made anew or cut"
            )
        };
        let partition = &reading.partition;
        tracing::error!(
            dag.id = %worker.spec.dag_id, trigger = %worker.spec.trigger.name,
            topic = %partition.topic, partition = partition.partition, why, "A stream has lost records"
        );
        let is_halted = self.rules.kafka.on_data_loss == OnDataLoss::Fail;
        let cut = Cut {
            partition: partition.clone(),
            expected: stored,
            end,
            counts: Counts {
                lost: (end - stored).max(0),
                ..Counts::default()
            },
            gap: Some((stored, low.max(stored), why.clone())),
            halted: is_halted.then_some(why),
        };
        let moved = worker.ports.store.seek(
            worker.spec.term,
            self.record.trigger,
            worker.spec.replay,
            std::slice::from_ref(&cut),
            (worker.ports.now)(),
        );
        worker.ports.runtime.block_on(moved)?;
        // The cursors are read anew, whatever became of this.
        worker.control.reopen();
        Ok(())
    }

    /// Reads until something ends it.
    pub(crate) fn read(&mut self) -> Result<Ended, Trouble> {
        loop {
            if self.worker.control.ends_session() {
                return Ok(Ended::Asked);
            }
            self.look_at_client()?;
            self.look_at_pressure()?;
            let begun = Instant::now();
            let n_read = if self.is_held { 0 } else { self.read_turns()? };
            self.decode_us += begun.elapsed().as_micros() as u64;
            if n_read > 0 {
                fault::here("stream while fetching");
            }
            if let Some(ended) = self.commit_due()? {
                return Ok(ended);
            }
            if self.is_finished() {
                return Ok(Ended::Finished);
            }
            self.look_around()?;
            self.show();
            if n_read == 0 {
                self.worker.control.wait(self.pause_length());
            }
        }
    }

    /// Each partition has a turn.
    fn read_turns(&mut self) -> Result<usize, Trouble> {
        let now = Instant::now();
        let mut n_read = 0;
        for at in 0..self.lanes.len() {
            let is_full = self.is_full();
            for _ in 0..self.turn_length() {
                let lane = &mut self.lanes[at];
                if !lane.reading.has_room(&self.rules) || is_full {
                    break;
                }
                match lane.queue.poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => {
                        n_read += 1;
                        let record = Record::of(&message, &lane.topic);
                        lane.reading.take(&record, &self.rules, now);
                        self.trouble = None;
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => {
                        lane.reading.caught_up();
                        self.trouble = None;
                    }
                    Some(Err(err)) => self.partition_error(at, &err)?,
                }
            }
        }
        Ok(n_read)
    }

    fn partition_error(&mut self, at: usize, err: &KafkaError) -> Result<(), Trouble> {
        use RDKafkaErrorCode as Code;
        match err.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                self.unassign(at);
                let (low, high) = watermarks(&self.client, &self.lanes[at].reading.partition)?;
                self.lose(at, low, high)
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                let topic = &self.lanes[at].reading.partition.topic;
                Err(Trouble::Outside(format!(
                    "topic `{topic}` is not there any more"
                )))
            }
            Some(code) => {
                self.trouble = Some(code.to_string());
                Ok(())
            }
            None => Err(Trouble::Outside(err.to_string())),
        }
    }

    /// The main queue: the client's own errors. A record that comes there is a record.
    fn look_at_client(&mut self) -> Result<(), Trouble> {
        use RDKafkaErrorCode as Code;
        let client = Arc::clone(&self.client);
        while let Some(found) = client.poll(Duration::ZERO) {
            match found {
                Ok(message) => {
                    let now = Instant::now();
                    let (topic, partition) = (message.topic(), message.partition());
                    let lane = self.lanes.iter_mut().find(|lane| {
                        *lane.topic == *topic && lane.reading.partition.partition == partition
                    });
                    if let Some(lane) = lane {
                        let record = Record::of(&message, &lane.topic);
                        lane.reading.take(&record, &self.rules, now);
                    }
                }
                Err(err) => match err.rdkafka_error_code() {
                    // Who may not see the group may still read: no group is used.
                    Some(Code::GroupAuthorizationFailed) | None => {}
                    Some(Code::Fatal) => return Err(Trouble::Outside(err.to_string())),
                    Some(code) => self.trouble = Some(code.to_string()),
                },
            }
        }
        Ok(())
    }

    /// Too many runs that are not over hold reading back, until they are few.
    fn look_at_pressure(&mut self) -> Result<(), Trouble> {
        let spec = &self.worker.spec;
        let is_asked = self.is_held || self.open_runs >= spec.open_runs_high;
        if is_asked && Instant::now() >= self.next_count {
            let ports = &self.worker.ports;
            let counted = ports.store.open_runs(self.record.trigger, spec.replay);
            self.open_runs = ports.runtime.block_on(counted)?;
            self.next_count = Instant::now() + Duration::from_millis(50);
        }
        let limit = if self.is_held {
            spec.open_runs_low + 1
        } else {
            spec.open_runs_high
        };
        self.is_held = self.open_runs >= limit;
        Ok(())
    }

    /// Do all partitions share a run?
    pub(crate) fn is_one_batch(&self) -> bool {
        let kafka = self.rules.kafka;
        kafka.mode == StreamMode::Batch && kafka.batch_by == BatchBy::Trigger
    }

    /// Is a batch of all partitions full?
    pub(crate) fn is_full(&self) -> bool {
        let kafka = self.rules.kafka;
        let kept = || self.lanes.iter().map(|lane| lane.reading.n_kept());
        self.is_one_batch()
            && (kept().map(|(n, _)| n).sum::<usize>() >= kafka.max_messages as usize
                || kept().map(|(_, bytes)| bytes as u64).sum::<u64>() >= kafka.max_bytes)
    }

    /// How many records one partition gives before the next has its turn: a batch of all of them
    /// is looked at more often, so that it is not much larger than it may be.
    fn turn_length(&self) -> usize {
        match self.is_one_batch() {
            true => TURN.min(self.rules.kafka.max_messages as usize),
            false => TURN,
        }
    }

    /// Has a replay read all of its ranges?
    fn is_finished(&self) -> bool {
        let is_over = |lane: &Lane| {
            let reading = &lane.reading;
            reading.end.is_some_and(|end| reading.stored >= end)
        };
        self.worker.spec.is_replay() && self.halted.is_empty() && self.lanes.iter().all(is_over)
    }

    /// Do partitions share a run of which not all have read their range? What a run was made of is
    /// so read again as one.
    pub(crate) fn waits_for_others(&self) -> bool {
        let mut lanes = self.lanes.iter();
        self.is_one_batch() && !lanes.all(|lane| lane.reading.is_over())
    }

    fn pause_length(&self) -> Duration {
        let now = Instant::now();
        let waits = self.waits_for_others();
        let dues = self
            .lanes
            .iter()
            .filter_map(|lane| lane.reading.due(&self.rules, waits));
        let due = dues.min().map(|due| due.saturating_duration_since(now));
        match (self.is_held, due) {
            (true, _) => Duration::from_millis(50),
            (false, Some(due)) => due.min(LOOK_EVERY),
            (false, None) => LOOK_EVERY,
        }
    }
}
