//! Waiting for a record: one reader for each topic of a cluster, whoever waits for it.
//!
//! A reader goes as far back as the one who waits for the oldest record wants; the others pass
//! over what they have seen. It ends with the last of them.

use super::place::{all_partitions, brokers, reader};
use super::{Stop, TaskError};
use crate::client::{Login, Quiet};
use crate::record::Record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tidemill_model::trigger::{Format, Isolation};
use tidemill_store::Span;
use tidemill_template::{Expression, Verdict};
use tokio::sync::oneshot;

/// New waiters are seen so soon.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// New partitions are asked for so often.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Brokers that cannot be used are tried again so soon.
const RETRY: Duration = Duration::from_secs(5);

/// What is waited for.
pub struct WatchWish {
    /// The topic.
    pub topic: String,
    /// Where waiting begins, in each partition; one that is not named is read from its beginning.
    pub starts: Vec<Span>,
    /// Which records of transactions count.
    pub isolation: Isolation,
    /// How keys are read.
    pub key_format: Format,
    /// How values are read.
    pub value_format: Format,
    /// The first record that passes is the one; any when absent.
    pub filter: Option<Expression<'static>>,
}

/// What has come.
#[derive(Debug)]
pub struct Found {
    /// The record, as tasks read it.
    pub record: Value,
    /// Records that could not be looked at, and why the first of them could not.
    pub unreadable: Option<(u64, String)>,
}

/// A wait. Dropping it ends it.
pub struct Watch {
    tailer: Arc<Tailer>,
    number: u64,
    told: oneshot::Receiver<Result<Found, TaskError>>,
}

impl Watch {
    /// Returns when the record is there.
    ///
    /// # Errors
    /// When records were gone before they could be looked at, or the topic is another.
    pub async fn found(&mut self) -> Result<Found, TaskError> {
        let told = (&mut self.told).await;
        told.unwrap_or_else(|_| Err(TaskError::Brokers("the reader has ended".to_string())))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tailer.lock().waiters.remove(&self.number);
    }
}

type Key = (Login, String, Isolation);

/// All readers of a process, by cluster and topic.
#[derive(Default)]
pub struct Tailers(Mutex<HashMap<Key, Weak<Tailer>>>);

impl Tailers {
    /// Begins to wait. A reader is started where none reads that topic.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn watch(&self, login: &Login, wish: WatchWish) -> std::io::Result<Watch> {
        let key = (login.clone(), wish.topic.clone(), wish.isolation);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, tailer| tailer.strong_count() > 0);
        let tailer = match all.get(&key).and_then(Weak::upgrade) {
            Some(tailer) => tailer,
            None => {
                let tailer = Tailer::start(&key)?;
                all.insert(key, Arc::downgrade(&tailer));
                tailer
            }
        };
        drop(all);
        let (tell, told) = oneshot::channel();
        let number = tailer.add(wish, tell);
        Ok(Watch {
            tailer,
            number,
            told,
        })
    }

    /// How many readers there are.
    pub fn count(&self) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values()
            .filter(|tailer| tailer.strong_count() > 0)
            .count()
    }
}

/// One reader. Its thread ends with the value.
struct Tailer {
    shared: Arc<Mutex<Waiters>>,
    stop: Stop,
}

#[derive(Default)]
struct Waiters {
    waiters: BTreeMap<u64, Waiter>,
    last: u64,
    /// Somebody has come since the thread last looked.
    is_new: bool,
}

struct Waiter {
    wish: WatchWish,
    /// The next offset to look at, by partition.
    next: BTreeMap<i32, i64>,
    unreadable: Option<(u64, String)>,
    tell: oneshot::Sender<Result<Found, TaskError>>,
}

impl Tailer {
    fn start(key: &Key) -> std::io::Result<Arc<Tailer>> {
        let tailer = Tailer {
            shared: Arc::default(),
            stop: Stop::default(),
        };
        let thread = Thread {
            login: key.0.clone(),
            topic: key.1.clone(),
            isolation: key.2,
            shared: Arc::clone(&tailer.shared),
            stop: tailer.stop.clone(),
        };
        std::thread::Builder::new()
            .name("kafka wait".to_string())
            .spawn(move || thread.run())?;
        Ok(Arc::new(tailer))
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, wish: WatchWish, tell: oneshot::Sender<Result<Found, TaskError>>) -> u64 {
        let mut waiters = self.lock();
        waiters.last += 1;
        waiters.is_new = true;
        let number = waiters.last;
        let starts = wish.starts.iter();
        let next = starts.map(|span| (span.partition.partition, span.first));
        let waiter = Waiter {
            next: next.collect(),
            wish,
            unreadable: None,
            tell,
        };
        waiters.waiters.insert(number, waiter);
        number
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        self.stop.set();
    }
}

impl Waiters {
    /// Shows a record to those who have not seen it.
    fn look(&mut self, record: &Record) {
        let mut found = Vec::new();
        for (number, waiter) in &mut self.waiters {
            let next = waiter.next.entry(record.partition).or_insert(0);
            if record.offset >= *next {
                *next = record.offset + 1;
                if let Some(value) = waiter.passes(record) {
                    found.push((*number, value));
                }
            }
        }
        for (number, value) in found {
            if let Some(waiter) = self.waiters.remove(&number) {
                let found = Found {
                    record: value,
                    unreadable: waiter.unreadable,
                };
                let _ = waiter.tell.send(Ok(found)); // nobody waits any more
            }
        }
    }

    /// From where a partition has to be read.
    fn first(&self, partition: i32) -> i64 {
        let all = self.waiters.values();
        let firsts = all.map(|waiter| waiter.next.get(&partition).copied().unwrap_or(0));
        firsts.min().unwrap_or(0)
    }

    /// What was to be read from `next` on begins at `low` now.
    fn lose(&mut self, topic: &str, partition: i32, low: i64) {
        let is_hurt = |waiter: &Waiter| {
            let next = waiter.next.get(&partition).copied().unwrap_or(0);
            next < low && waiter.next.contains_key(&partition)
        };
        let hurt: Vec<u64> = self
            .waiters
            .iter()
            .filter(|(_, waiter)| is_hurt(waiter))
            .map(|(number, _)| *number)
            .collect();
        for number in hurt {
            if let Some(waiter) = self.waiters.remove(&number) {
                let next = waiter.next.get(&partition).copied().unwrap_or(0);
                let why = format!(
                    "{topic}/{partition}: records {next} to {} were gone before they could be looked at",
                    low - 1
                );
                let _ = waiter.tell.send(Err(TaskError::ForGood(why)));
            }
        }
        for waiter in self.waiters.values_mut() {
            let next = waiter.next.entry(partition).or_insert(low);
            *next = low.max(*next);
        }
    }

    /// The topic is not the one that somebody began to wait in.
    fn check_id(&mut self, topic: &str, id: &str) {
        let known = |waiter: &Waiter| {
            let starts = &waiter.wish.starts;
            starts
                .first()
                .map(|span| span.partition.incarnation.clone())
        };
        let is_other = |waiter: &Waiter| {
            known(waiter).is_some_and(|known| !known.is_empty() && !id.is_empty() && known != id)
        };
        let others: Vec<u64> = self
            .waiters
            .iter()
            .filter(|(_, waiter)| is_other(waiter))
            .map(|(number, _)| *number)
            .collect();
        for number in others {
            if let Some(waiter) = self.waiters.remove(&number) {
                let why = format!("topic `{topic}` was made anew while the task waited");
                let _ = waiter.tell.send(Err(TaskError::ForGood(why)));
            }
        }
    }
}

impl Waiter {
    /// The record as tasks read it, if it is the one.
    fn passes(&mut self, record: &Record) -> Option<Value> {
        let wish = &self.wish;
        let why = match &wish.filter {
            None => None,
            Some(filter) => {
                let view = record.view(wish.key_format, wish.value_format);
                match filter.decide(&view) {
                    Verdict::Pass => None,
                    Verdict::Reject | Verdict::Missing => return None,
                    Verdict::Unreadable(why) | Verdict::Broken(why) => Some(why),
                }
            }
        };
        let line = match why {
            Some(why) => Err(why),
            None => record.line(wish.key_format, wish.value_format),
        };
        let value = line.and_then(|line| {
            serde_json::from_str(&line).map_err(|err| format!("it cannot be kept: {err}"))
        });
        match value {
            Ok(value) => Some(value),
            Err(why) => {
                let place = format!("{}/{}: {why}", record.partition, record.offset);
                let known = self.unreadable.get_or_insert((0, place));
                known.0 += 1;
                None
            }
        }
    }
}

struct Thread {
    login: Login,
    topic: String,
    isolation: Isolation,
    shared: Arc<Mutex<Waiters>>,
    stop: Stop,
}

impl Thread {
    fn run(self) {
        while !self.stop.is_set() {
            if let Err(err) = self.tail() {
                tracing::warn!(topic = %self.topic, %err, "A wait for records goes on later");
                let until = Instant::now() + RETRY;
                while !self.stop.is_set() && Instant::now() < until {
                    std::thread::sleep(LOOK_EVERY);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until it is told to end, or the brokers cannot be used.
    fn tail(&self) -> Result<(), TaskError> {
        let client = reader(&self.login, self.isolation)?;
        let topic: Arc<str> = self.topic.as_str().into();
        let mut positions: BTreeMap<i32, i64> = BTreeMap::new();
        let mut next_ask = Instant::now();
        while !self.stop.is_set() {
            let is_due = Instant::now() >= next_ask;
            let is_new = std::mem::take(&mut self.lock().is_new);
            if is_due || is_new {
                self.assign(&client, &mut positions)?;
                next_ask = Instant::now() + ASK_EVERY;
            }
            match client.poll(LOOK_EVERY) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Ok(message)) => {
                    let next = positions.entry(message.partition()).or_insert(0);
                    if message.offset() >= *next {
                        *next = message.offset() + 1;
                        self.lock().look(&Record::of(&message, &topic));
                    }
                }
                Some(Err(err)) => match err.rdkafka_error_code() {
                    Some(Code::GroupAuthorizationFailed) => {} // no group is used
                    Some(
                        Code::AutoOffsetReset
                        | Code::OffsetOutOfRange
                        | Code::UnknownTopicOrPartition
                        | Code::UnknownTopic,
                    ) => return Err(brokers(err)),
                    _ => tracing::debug!(%err, topic = %self.topic, "A wait for records"),
                },
            }
        }
        Ok(())
    }

    /// Goes back as far as somebody wants, and reads partitions that are new.
    fn assign(
        &self,
        client: &BaseConsumer<Quiet>,
        positions: &mut BTreeMap<i32, i64>,
    ) -> Result<(), TaskError> {
        let all = all_partitions(client, std::slice::from_ref(&self.topic))?;
        let mut moved = false;
        for partition in &all {
            self.lock().check_id(&self.topic, &partition.incarnation);
            let first = self.lock().first(partition.partition);
            let known = positions.get(&partition.partition).copied();
            if known.is_none_or(|known| first < known) {
                let marks = client.fetch_watermarks(
                    &self.topic,
                    partition.partition,
                    crate::source::start::ASK_WAIT,
                );
                let (low, _) = marks.map_err(brokers)?;
                self.lock().lose(&self.topic, partition.partition, low);
                positions.insert(partition.partition, first.max(low));
                moved = true;
            }
        }
        if moved {
            let mut list = TopicPartitionList::new();
            for (partition, offset) in positions.iter() {
                list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))
                    .map_err(brokers)?;
            }
            client.assign(&list).map_err(brokers)?;
        }
        Ok(())
    }
}
