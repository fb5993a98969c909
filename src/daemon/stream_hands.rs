//! What people do with streams besides looking: move a cursor, read a range again, try a record
//! again.

use crate::daemon::clock;
use crate::daemon::streams::{Shared, away, hand_over};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tidemill_kafka::task::{Edge, SpanWish, TaskError};
use tidemill_model::trigger::KafkaTrigger;
use tidemill_model::{DagNo, RunNo};
use tidemill_store::{
    Committed, Counts, Cursor, Cut, LIVE, NamedOffset, Partition, Refusal, ReplayOf, SeekTo, Span,
    StreamCommit, StreamWish, TriggerRecord,
};

fn conflict(what: String) -> Refusal {
    Refusal::Conflict { what }
}

impl Shared {
    /// Moves the cursors of a trigger that reads nothing just now.
    pub(super) async fn seek(
        &self,
        dag: DagNo,
        trigger: &str,
        to: SeekTo,
        dry_run: bool,
    ) -> Result<Value, Refusal> {
        let streams = &self.database.streams;
        let record = streams.put_trigger(dag, trigger, clock::now()).await;
        let record = record.map_err(away)?;
        let cursors = streams.cursors(record.trigger, LIVE).await.map_err(away)?;
        let cursors = movable(&record, cursors, &to, dry_run)?;
        let kafka = self.kafka_of(dag, trigger).ok_or_else(|| {
            conflict(format!(
                "the file of {} has no trigger {trigger} now",
                record.dag_id
            ))
        })?;
        let asked = cursors.clone();
        let logins = self.logins.clone();
        let found = tokio::task::spawn_blocking(move || {
            let login = logins.of(&kafka.cluster)?;
            tidemill_kafka::locate(&login, &kafka, &asked, &to)
        });
        let found = found.await.map_err(|err| conflict(err.to_string()))?;
        let places = found.map_err(conflict)?;
        let told = cursors.iter().zip(&places).map(|(cursor, (_, end))| {
            let from = cursor.next_offset;
            json!({
                "topic": cursor.partition.topic, "partition": cursor.partition.partition, "from": from, "to": end,
                "again": (from - end).max(0), "passed_over": (end - from).max(0),
            })
        });
        let told = json!({ "partitions": told.collect::<Vec<_>>() });
        if dry_run {
            return Ok(told);
        }
        self.move_cursors(&record, &cursors, &places).await?;
        if let Some(running) = self.sources().get(&(dag, trigger.to_string(), LIVE)) {
            running.source.reopen();
        }
        Ok(told)
    }

    async fn move_cursors(
        &self,
        record: &TriggerRecord,
        cursors: &[Cursor],
        places: &[(Partition, i64)],
    ) -> Result<(), Refusal> {
        let streams = &self.database.streams;
        // A topic that was made anew is read by a cursor of its own.
        let is_new = |cursor: &Cursor, place: &Partition| cursor.partition != *place;
        let fresh = cursors
            .iter()
            .zip(places)
            .filter(|(cursor, (place, _))| is_new(cursor, place));
        let fresh = fresh.map(|(cursor, (place, end))| Cursor {
            partition: place.clone(),
            next_offset: *end,
            halted: None,
            counts: Counts::default(),
            generation: 0,
            updated_at: clock::now(),
            ..cursor.clone()
        });
        let fresh: Vec<Cursor> = fresh.collect();
        let begun = streams.begin_cursors(self.term, &fresh).await;
        begun.map_err(away)?;
        let cuts: Vec<Cut> = cursors
            .iter()
            .zip(places)
            .filter(|(cursor, (place, _))| !is_new(cursor, place))
            .map(|(cursor, (_, end))| (cursor, *end))
            .map(|(cursor, end)| Cut {
                partition: cursor.partition.clone(),
                expected: cursor.next_offset,
                end,
                counts: Counts::default(),
                halted: None,
                gap: None,
            })
            .collect();
        let sought = streams
            .seek(self.term, record.trigger, LIVE, &cuts, clock::now())
            .await;
        match sought.map_err(away)? {
            Committed::Done => Ok(()),
            _ => Err(conflict(
                "a cursor has moved meanwhile; ask again".to_string(),
            )),
        }
    }

    pub(super) fn kafka_of(&self, dag: DagNo, trigger: &str) -> Option<KafkaTrigger> {
        let wanted = self.door.streams();
        let wanted = wanted.borrow();
        let one = wanted.iter().find(|one| one.dag == dag)?;
        let mut triggers = one.definition.triggers.iter();
        Some(triggers.find(|one| one.name == trigger)?.kafka.clone())
    }

    /// Reads a range again, with cursors of its own.
    pub(super) async fn replay(&self, wish: StreamWish) -> Result<Value, Refusal> {
        let StreamWish::Replay {
            dag,
            trigger,
            of,
            partitions,
            allow_gap,
            dry_run,
        } = wish
        else {
            return Ok(Value::Null);
        };
        let streams = &self.database.streams;
        let record = streams.put_trigger(dag, &trigger, clock::now()).await;
        let record = record.map_err(away)?;
        let none = || format!("the file of {} has no trigger {trigger} now", record.dag_id);
        let kafka = self
            .kafka_of(dag, &trigger)
            .ok_or_else(|| conflict(none()))?;
        let live = streams.cursors(record.trigger, LIVE).await.map_err(away)?;
        let mut spans = match of {
            ReplayOf::Between(from, to) => {
                let topics = topics_of(&kafka, &live);
                let spans = self.spans(&kafka, topics, (&from, &to), allow_gap).await?;
                // What was never read live has a range all the same.
                let found = spans.iter().map(|span| &span.partition);
                let known = live.iter().map(|cursor| &cursor.partition).chain(found);
                for place in [&from, &to] {
                    check_names(place, known.clone())?;
                }
                spans
            }
            ReplayOf::Run(run) => self.spans_of_run(&kafka, &record, run, allow_gap).await?,
        };
        spans
            .retain(|span| partitions.is_empty() || partitions.contains(&span.partition.partition));
        spans.retain(|span| span.end > Some(span.first));
        let length = |span: &Span| span.end.unwrap_or(span.first) - span.first;
        let told = spans.iter().map(|span| {
            json!({
                "topic": span.partition.topic, "partition": span.partition.partition,
                "from": span.first, "to": span.end, "records": length(span),
            })
        });
        let mut told = json!({
            "partitions": told.collect::<Vec<_>>(),
            "records": spans.iter().map(length).sum::<i64>(),
        });
        if dry_run {
            return Ok(told);
        }
        if spans.is_empty() {
            return Err(conflict("there is no record in this range".to_string()));
        }
        let cursors = spans.into_iter().map(|span| Cursor {
            trigger: record.trigger,
            replay: LIVE,
            generation: 0,
            partition: span.partition,
            next_offset: span.first,
            end_offset: span.end,
            halted: None,
            counts: Counts::default(),
            updated_at: clock::now(),
        });
        let cursors: Vec<Cursor> = cursors.collect();
        let begun = streams
            .begin_replay(self.term, record.trigger, &told, &cursors, clock::now())
            .await;
        told["replay"] = json!(begun.map_err(away)?);
        self.ask();
        Ok(told)
    }

    /// The ranges that a run was made of, of each of its topics.
    async fn spans_of_run(
        &self,
        kafka: &KafkaTrigger,
        record: &TriggerRecord,
        run: RunNo,
        allow_gap: bool,
    ) -> Result<Vec<Span>, Refusal> {
        let batch = self.database.streams.batch(run).await.map_err(away)?;
        let batch = batch.filter(|batch| batch.trigger == record.trigger);
        let none = || Refusal::NotFound {
            what: format!("{}/{} has not made that run", record.dag_id, record.name),
        };
        let batch = batch.ok_or_else(none)?;
        let ranges = batch.facts["ranges"].as_array().into_iter().flatten();
        let edge = |name: &'static str| {
            let named = ranges.clone().filter_map(move |range| {
                Some(NamedOffset {
                    topic: Some(range["topic"].as_str()?.to_string()),
                    partition: i32::try_from(range["partition"].as_i64()?).ok()?,
                    offset: range[name].as_i64()?,
                })
            });
            SeekTo::Offsets(named.collect())
        };
        let topics = ranges.clone().filter_map(|range| range["topic"].as_str());
        let topics: BTreeSet<String> = topics.map(str::to_string).collect();
        let topics = topics.into_iter().collect();
        let ends = (&edge("first_offset"), &edge("end_offset"));
        self.spans(kafka, topics, ends, allow_gap).await
    }

    /// A range as offsets, fixed now.
    async fn spans(
        &self,
        kafka: &KafkaTrigger,
        topics: Vec<String>,
        (from, to): (&SeekTo, &SeekTo),
        allow_gap: bool,
    ) -> Result<Vec<Span>, Refusal> {
        let mut wish = SpanWish {
            topics,
            from: edge(from),
            to: edge(to),
            n_max: i64::MAX,
            isolation: kafka.isolation,
        };
        if allow_gap && let Edge::Offsets(offsets) = wish.from {
            wish.from = Edge::NotBefore(offsets);
        }
        let (logins, cluster) = (self.logins.clone(), kafka.cluster.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let login = logins.of(&cluster).map_err(TaskError::ForGood)?;
            tidemill_kafka::task::fix(&login, &wish)
        });
        let found = asked.await.map_err(|err| conflict(err.to_string()))?;
        found.map_err(|err| conflict(err.to_string()))
    }

    /// Ends a replay; its runs go on.
    pub(super) async fn cancel_replay(&self, replay: i64) -> Result<Value, Refusal> {
        let streams = &self.database.streams;
        let ended = streams
            .end_replay(self.term, replay, "cancelled", clock::now())
            .await;
        if !ended.map_err(away)? {
            return Err(conflict(format!("replay {replay} does not go on")));
        }
        self.ask();
        Ok(json!({ "replay": replay, "state": "cancelled" }))
    }

    /// Makes a run of a record in quarantine, once.
    pub(super) async fn retry(
        &self,
        dag: DagNo,
        trigger: &str,
        poison: i64,
    ) -> Result<Value, Refusal> {
        let streams = &self.database.streams;
        let record = streams.put_trigger(dag, trigger, clock::now()).await;
        let record = record.map_err(away)?;
        let held = streams.held_poison(record.trigger, poison).await;
        let held = held.map_err(away)?.ok_or_else(|| Refusal::NotFound {
            what: format!(
                "{}/{trigger} holds no record {poison} in quarantine",
                record.dag_id
            ),
        })?;
        let made = {
            let wanted = self.door.streams();
            let wanted = wanted.borrow();
            let one = wanted.iter().find(|one| one.dag == dag);
            let trigger = one.and_then(|one| {
                let mut triggers = one.definition.triggers.iter();
                Some((one, triggers.find(|one| one.name == trigger)?))
            });
            let (one, trigger) = trigger.ok_or_else(|| {
                conflict(format!("the file of {} has no such trigger", record.dag_id))
            })?;
            let (spec, ports) = self.spec(one, trigger, held.replay);
            tidemill_kafka::retried(&spec, &ports, &held, clock::now())
        };
        let run =
            made.map_err(|why| conflict(format!("record {poison} still makes no run: {why}")))?;
        let run_id = run.row.run_id.clone();
        let commit = StreamCommit {
            term: self.term,
            trigger: record.trigger,
            replay: held.replay,
            now: clock::now(),
            cuts: Vec::new(),
            runs: vec![run],
            poison: Vec::new(),
            seen: Vec::new(),
            retried: vec![poison],
        };
        match streams.commit_stream(&commit).await.map_err(away)? {
            Committed::Done => {}
            Committed::Paused => {
                let what = format!("{}/{trigger} is paused: resume it first", record.dag_id);
                return Err(conflict(what));
            }
            Committed::Fenced => {
                return Err(conflict(format!("record {poison} is not held any more")));
            }
        }
        hand_over(&self.door, &self.runs, commit.runs);
        Ok(json!({ "id": poison, "state": "retried", "dag_run_id": run_id }))
    }
}

/// The cursors that a wish moves: those of a paused trigger, or else those that have stopped by
/// themselves. A dry run may ask about all of them.
fn movable(
    record: &TriggerRecord,
    mut cursors: Vec<Cursor>,
    to: &SeekTo,
    dry_run: bool,
) -> Result<Vec<Cursor>, Refusal> {
    let name = || format!("{}/{}", record.dag_id, record.name);
    let is_named = |cursors: &[Cursor]| check_names(to, cursors.iter().map(|one| &one.partition));
    is_named(&cursors)?;
    if cursors.is_empty() && !dry_run {
        return Err(conflict(format!("{} has read nothing yet", name())));
    }
    let is_halted = |cursor: &Cursor| cursor.halted.is_some();
    if record.is_paused || dry_run && !cursors.iter().any(is_halted) {
        return Ok(cursors);
    }
    cursors.retain(is_halted);
    if cursors.is_empty() || is_named(&cursors).is_err() {
        return Err(conflict(format!(
            "{} is being read: pause it first, with `tidemill triggers pause`",
            name()
        )));
    }
    Ok(cursors)
}

/// Does each offset that is named mean a partition that there is, and one alone?
fn check_names<'p>(
    place: &SeekTo,
    all: impl Iterator<Item = &'p Partition> + Clone,
) -> Result<(), Refusal> {
    let SeekTo::Offsets(named) = place else {
        return Ok(());
    };
    for one in named {
        if one.partition == NamedOffset::ALL_OTHERS {
            continue;
        }
        let number = one.partition;
        let of_number = all
            .clone()
            .filter(|partition| partition.partition == number);
        let is_meant = |at: &&Partition| one.topic.as_ref().is_none_or(|topic| *topic == at.topic);
        let topics = of_number.filter(is_meant).map(|at| at.topic.as_str());
        let topics: BTreeSet<&str> = topics.collect();
        match topics.len() {
            0 => {
                let topic = one.topic.as_ref().map(|topic| format!("{topic}/"));
                let name = format!("{}{number}", topic.unwrap_or_default());
                return Err(conflict(format!("no partition {name} is read here")));
            }
            1 => {}
            _ => {
                let names = topics.iter().map(|topic| format!("{topic}/{number}"));
                let names: Vec<String> = names.collect();
                let names = names.join(" or ");
                return Err(conflict(format!(
                    "partition {number} is in several topics: say {names}"
                )));
            }
        }
    }
    Ok(())
}

/// The topics that a trigger names, and those that it has found by its pattern.
fn topics_of(kafka: &KafkaTrigger, live: &[Cursor]) -> Vec<String> {
    let found = live.iter().map(|cursor| cursor.partition.topic.clone());
    let mut topics: Vec<String> = found.chain(kafka.topics.iter().cloned()).collect();
    topics.sort();
    topics.dedup();
    topics
}

fn edge(to: &SeekTo) -> Edge {
    match to {
        SeekTo::Earliest => Edge::Earliest,
        SeekTo::Latest => Edge::Latest,
        SeekTo::At(at) => Edge::At(*at),
        SeekTo::Offsets(offsets) => Edge::Offsets(offsets.clone()),
    }
}
