//! One partition while it is read: what of it is kept for the next batch, and when that is cut.
//!
//! Pure: records and the present moment come in, cuts go out.

use crate::record::{Record, headers_json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tidemill_model::Ts;
use tidemill_model::trigger::*;
use tidemill_store::{Counts, Cursor, Cut, NewPoison, Partition};
use tidemill_template::{Expression, Verdict};

/// Runs that one transaction makes at most, but for those of one range.
pub(crate) const RUNS_PER_COMMIT: usize = 500;
/// Its bytes are not kept.
const OVERSIZE: &str = "oversize";
/// Passing over records alone moves the cursor so often.
const ADVANCE_EVERY: Duration = Duration::from_secs(1);

/// A trigger's settings with its expressions compiled.
pub(crate) struct Rules<'t> {
    pub kafka: &'t KafkaTrigger,
    pub filter: Option<Expression<'t>>,
    pub dedupe: Option<Expression<'t>>,
    pub pattern: Option<regex::Regex>,
}

impl<'t> Rules<'t> {
    /// # Errors
    /// Why an expression does not compile; a file that was loaded has none of those.
    pub(crate) fn new(kafka: &'t KafkaTrigger) -> Result<Rules<'t>, String> {
        let compile = |text: Option<&'t String>| {
            let compiled = text.map(|text| Expression::over_record(text)).transpose();
            compiled.map_err(|err| err.to_string())
        };
        Ok(Rules {
            kafka,
            filter: compile(kafka.filter.as_ref())?,
            dedupe: compile(kafka.dedupe.as_ref().map(|dedupe| &dedupe.key))?,
            pattern: match &kafka.topic_pattern {
                Some(text) => Some(regex::Regex::new(text).map_err(|err| err.to_string())?),
                None => None,
            },
        })
    }
}

/// A record that was accepted: its line, and what runs are told of it.
pub(crate) struct Kept {
    pub offset: i64,
    pub timestamp: Option<Ts>,
    pub line: String,
    pub n_bytes: usize,
    /// Of its key; `None` for a record without one.
    pub key_hash: Option<[u8; 32]>,
    /// By which it is known when it comes twice.
    pub same: Option<[u8; 32]>,
}

/// What a partition gives for one commit.
pub(crate) struct Taken {
    pub generation: i64,
    pub cut: Cut,
    pub records: Vec<Kept>,
    pub poison: Vec<NewPoison>,
}

/// A partition while it is read.
pub(crate) struct Reading {
    pub partition: Partition,
    /// How often a person has moved its cursor.
    pub generation: i64,
    /// Where its cursor is stored to stand.
    pub stored: i64,
    /// Where reading ends, for a replay.
    pub end: Option<i64>,
    /// The next offset to read.
    pub position: i64,
    pub is_caught_up: bool,
    pub halted: Option<String>,
    pub read_up_to: Option<Ts>,
    kept: Vec<Kept>,
    poison: Vec<NewPoison>,
    counts: Counts,
    n_bytes: usize,
    keys: HashSet<Option<[u8; 32]>>,
    opened: Option<Instant>,
    last_cut: Instant,
    /// Why nothing more is read; known when what came before is cut.
    stop: Option<String>,
}

impl Reading {
    pub(crate) fn new(cursor: &Cursor, now: Instant) -> Reading {
        let stored = cursor.next_offset;
        Reading {
            partition: cursor.partition.clone(),
            generation: cursor.generation,
            stored,
            end: cursor.end_offset,
            position: stored,
            is_caught_up: false,
            halted: None,
            read_up_to: None,
            kept: Vec::new(),
            poison: Vec::new(),
            counts: Counts::default(),
            n_bytes: 0,
            keys: HashSet::new(),
            opened: None,
            last_cut: now,
            stop: None,
        }
    }

    /// May more be read before the next cut?
    pub(crate) fn has_room(&self, rules: &Rules) -> bool {
        self.halted.is_none() && self.stop.is_none() && !self.is_at_end() && !self.is_full(rules)
    }

    /// Has a replay read all of its range?
    pub(crate) fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }

    /// The brokers say that there is nothing behind. A range ends there too: what is left of it
    /// are markers of transactions, and records that were compacted away.
    pub(crate) fn caught_up(&mut self) {
        self.is_caught_up = true;
        self.position = self.end.unwrap_or(self.position).max(self.position);
    }

    /// Records that are kept for the next batch, and the bytes of their lines.
    pub(crate) fn n_kept(&self) -> (usize, usize) {
        (self.kept.len(), self.n_bytes)
    }

    /// When the oldest record that is in no run yet had been written, as far as it is known.
    pub(crate) fn unread_since(&self) -> Option<Ts> {
        let kept = self.kept.iter().find_map(|kept| kept.timestamp);
        kept.or(self.read_up_to.filter(|_| !self.is_caught_up))
    }

    fn is_full(&self, rules: &Rules) -> bool {
        let kafka = rules.kafka;
        let n_max = match (kafka.mode, kafka.batch_by) {
            (StreamMode::Record, _) => RUNS_PER_COMMIT,
            _ => kafka.max_messages as usize,
        };
        let is_split = kafka.mode == StreamMode::Batch && kafka.batch_by == BatchBy::Key;
        self.kept.len() >= n_max
            || self.n_bytes as u64 >= kafka.max_bytes
            || self.poison.len() >= RUNS_PER_COMMIT
            || is_split && self.keys.len() >= RUNS_PER_COMMIT
    }

    /// Takes in a record. One that was read before is passed over; gaps are no loss, for markers
    /// of transactions and compacted records leave them.
    pub(crate) fn take(&mut self, record: &Record, rules: &Rules, now: Instant) {
        if record.offset < self.position {
            return;
        }
        if let Some(end) = self.end.filter(|end| record.offset >= *end) {
            self.position = end;
            return;
        }
        self.is_caught_up = false;
        match judge(record, rules) {
            Judged::Kept(kept) => {
                self.counts.taken += 1;
                self.n_bytes += kept.line.len();
                self.opened.get_or_insert(now);
                if rules.kafka.batch_by == BatchBy::Key {
                    self.keys.insert(kept.key_hash);
                }
                self.kept.push(*kept);
            }
            Judged::Filtered => self.counts.filtered += 1,
            Judged::Missing => {
                self.counts.filtered += 1;
                self.counts.missing += 1;
            }
            Judged::Skipped => self.counts.skipped += 1,
            Judged::Poison(class, message) => match rules.kafka.on_error {
                OnRecordError::Block => {
                    let offset = record.offset;
                    self.stop = Some(format!("the record at offset {offset}: {message}"));
                    return; // it stays the next one to read
                }
                OnRecordError::Skip => self.counts.skipped += 1,
                OnRecordError::Dlq => {
                    self.counts.quarantined += 1;
                    if class != OVERSIZE {
                        self.n_bytes += record.n_bytes();
                    }
                    self.opened.get_or_insert(now);
                    self.poison.push(self.poisoned(record, class, message));
                }
            },
        }
        self.position = record.offset + 1;
        self.read_up_to = record.timestamp.or(self.read_up_to);
    }

    fn poisoned(&self, record: &Record, class: &str, message: String) -> NewPoison {
        let by_reference = class == OVERSIZE;
        let bytes = |bytes: &Option<std::sync::Arc<[u8]>>| {
            bytes
                .as_ref()
                .filter(|_| !by_reference)
                .map(|bytes| bytes.to_vec())
        };
        NewPoison {
            partition: self.partition.clone(),
            offset: record.offset,
            timestamp: record.timestamp,
            class: class.to_string(),
            message,
            key: bytes(&record.key),
            value: bytes(&record.value),
            headers: headers_json(&record.headers),
        }
    }

    /// Does it give nothing more: is its range read, or does it stand still?
    pub(crate) fn is_over(&self) -> bool {
        self.halted.is_some() || self.stop.is_some() || self.is_at_end()
    }

    /// When the next cut is due; `None` while there is nothing to cut. A range that is read is cut
    /// at once, unless it waits for others with which it shares a run.
    pub(crate) fn due(&self, rules: &Rules, waits_for_others: bool) -> Option<Instant> {
        if self.halted.is_some() {
            return None;
        }
        let is_at_once = rules.kafka.mode == StreamMode::Record;
        let waits = waits_for_others && self.is_at_end();
        let has_moved = self.position > self.stored && !waits;
        let full = self.is_full(rules) || self.stop.is_some() || has_moved && self.is_at_end();
        match self.opened {
            _ if full => Some(self.last_cut),
            Some(opened) if is_at_once => Some(opened),
            Some(opened) => Some(opened + rules.kafka.window),
            None if has_moved => Some(self.last_cut + ADVANCE_EVERY),
            None => None,
        }
    }

    /// Takes out all that was read, as what one commit writes.
    pub(crate) fn cut(&mut self, now: Instant) -> Taken {
        self.last_cut = now;
        self.opened = None;
        self.n_bytes = 0;
        self.keys.clear();
        Taken {
            generation: self.generation,
            cut: Cut {
                partition: self.partition.clone(),
                expected: self.stored,
                end: self.position,
                counts: std::mem::take(&mut self.counts),
                halted: self.stop.take(),
                gap: None,
            },
            records: std::mem::take(&mut self.kept),
            poison: std::mem::take(&mut self.poison),
        }
    }

    /// A cut of it is committed.
    pub(crate) fn committed(&mut self, cut: &Cut) {
        self.stored = cut.end;
        self.halted = cut.halted.clone();
    }
}

/// What becomes of a record.
pub(crate) fn judge(record: &Record, rules: &Rules) -> Judged {
    let kafka = rules.kafka;
    let n_bytes = record.n_bytes();
    if n_bytes as u64 > kafka.max_record_bytes {
        let max = kafka.max_record_bytes;
        return Judged::Poison(
            OVERSIZE,
            format!("it has {n_bytes} bytes, more than max_record_bytes = {max}"),
        );
    }
    if record.value.is_none() && kafka.tombstones == Tombstones::Skip {
        return Judged::Skipped;
    }
    let view = (rules.filter.is_some() || rules.dedupe.is_some())
        .then(|| record.view(kafka.key_format, kafka.value_format));
    if let (Some(filter), Some(view)) = (&rules.filter, &view) {
        match filter.decide(view) {
            Verdict::Pass => {}
            Verdict::Reject => return Judged::Filtered,
            Verdict::Missing => return Judged::Missing,
            Verdict::Unreadable(why) => return Judged::Poison("decode", why),
            Verdict::Broken(why) => {
                return Judged::Poison("filter", format!("the filter: {why}"));
            }
        }
    }
    let same = match (&rules.dedupe, &view) {
        (Some(dedupe), Some(view)) => match dedupe.key(view) {
            Ok(key) => key.map(|key| sha256(key.as_bytes())),
            Err(Verdict::Unreadable(why)) => return Judged::Poison("decode", why),
            Err(other) => {
                return Judged::Poison("filter", format!("the key of dedupe: {other:?}"));
            }
        },
        _ => None,
    };
    match record.line(kafka.key_format, kafka.value_format) {
        Ok(line) => Judged::Kept(Box::new(Kept {
            offset: record.offset,
            timestamp: record.timestamp,
            line,
            n_bytes,
            key_hash: record.key.as_ref().map(|key| sha256(key)),
            same,
        })),
        Err(why) => Judged::Poison("decode", why),
    }
}

/// What becomes of a record.
pub(crate) enum Judged {
    Kept(Box<Kept>),
    Filtered,
    Missing,
    Skipped,
    Poison(&'static str, String),
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
