//! Looks at what the brokers have: new partitions, how far they are ahead, how long they keep it.

use super::session::{Lane, Session, Trouble};
use super::start::{ASK_WAIT, watermarks};
use crate::raw;
use rdkafka::consumer::Consumer;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tidemill_model::Ts;

/// New partitions and watermarks are asked for so often.
pub(crate) const ASK_EVERY: Duration = Duration::from_secs(10);
/// How long topics keep their records, so often.
const ASK_RETENTION_EVERY: Duration = Duration::from_secs(60);

impl Session<'_> {
    /// New partitions, and how far the brokers are ahead.
    pub(crate) fn look_around(&mut self) -> Result<(), Trouble> {
        if Instant::now() < self.next_ask {
            return Ok(());
        }
        self.next_ask = Instant::now() + ASK_EVERY;
        if !self.worker.spec.is_replay() {
            self.look_for_partitions()?;
        }
        let now = (self.worker.ports.now)();
        for lane in &mut self.lanes {
            let partition = &lane.reading.partition;
            if let Ok(marks) = watermarks(&self.client, partition) {
                let native = self.client.client();
                let last = raw::last_offset(native, &partition.topic, partition.partition);
                lane.look(marks, last, now);
            }
        }
        self.look_at_retention();
        Ok(())
    }

    /// The topics that are read, each once.
    pub(crate) fn topics_read(&self) -> Vec<&str> {
        let topics = self.lanes.iter().map(|lane| &lane.reading.partition.topic);
        let topics: BTreeSet<&str> = topics.map(String::as_str).collect();
        topics.into_iter().collect()
    }

    fn look_at_retention(&mut self) {
        if Instant::now() < self.next_retention {
            return;
        }
        self.next_retention = Instant::now() + ASK_RETENTION_EVERY;
        let topics = self.topics_read();
        // Who may not see the settings of a topic can read it all the same.
        if let Some(known) = raw::retention(self.client.client(), &topics, ASK_WAIT) {
            self.retention = known;
        }
    }
}

impl Lane {
    /// `marks` end where readers end; `last` is the end with what open transactions have written.
    fn look(&mut self, marks: (i64, i64), last: Option<i64>, now: Ts) {
        let stands = self.marks.is_some_and(|before| before.1 == marks.1);
        let is_held = last.is_some_and(|last| last > marks.1);
        self.held_since = is_held.then(|| self.held_since.filter(|_| stands).unwrap_or(now));
        self.marks = Some(marks);
        self.last = last;
    }
}
