//! What people do with streams besides looking: move a cursor, read a range again, try a record
//! again.

use crate::daemon::clock;
use crate::daemon::streams::{Shared, away, hand_over};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidemill_kafka::task::{Edge, SpanWish, TaskError};
use tidemill_model::trigger::KafkaTrigger;
use tidemill_model::{DagNo, RunNo};
use tidemill_store::{
    Committed, Counts, Cursor, Cut, LIVE, Partition, Refusal, ReplayOf, SeekTo, Span, StreamCommit,
    StreamWish, TriggerRecord,
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
        let mut cursors = streams.cursors(record.trigger, LIVE).await.map_err(away)?;
        if !record.is_paused {
            cursors.retain(|cursor| cursor.halted.is_some());
        }
        if cursors.is_empty() && !dry_run {
            return Err(conflict(format!(
                "{}/{trigger} is being read: pause it first, with `tidemill triggers pause`",
                record.dag_id
            )));
        }
        if cursors.is_empty() {
            cursors = streams.cursors(record.trigger, LIVE).await.map_err(away)?;
        }
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
        let ends = places.iter().map(|(_, end)| *end);
        let told = cursors.iter().zip(ends.clone()).map(|(cursor, end)| {
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
        // A topic that was made anew is read by a cursor of its own.
        let is_new = |cursor: &Cursor, place: &Partition| cursor.partition != *place;
        let fresh = cursors
            .iter()
            .zip(&places)
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
            .zip(&places)
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
        if sought.map_err(away)? != Committed::Done {
            return Err(conflict(
                "a cursor has moved meanwhile; ask again".to_string(),
            ));
        }
        if let Some(running) = self.sources().get(&(dag, trigger.to_string(), LIVE)) {
            running.source.reopen();
        }
        Ok(told)
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
                self.spans(&kafka, topics, (&from, &to), allow_gap).await?
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
        let mut of_topics: BTreeMap<&str, [Vec<(i32, i64)>; 2]> = BTreeMap::new();
        for range in batch.facts["ranges"].as_array().into_iter().flatten() {
            let number = |name: &str| range[name].as_i64().unwrap_or_default();
            let partition = i32::try_from(number("partition")).unwrap_or_default();
            let topic = range["topic"].as_str().unwrap_or_default();
            let [first, end] = of_topics.entry(topic).or_default();
            first.push((partition, number("first_offset")));
            end.push((partition, number("end_offset")));
        }
        let mut spans = Vec::new();
        for (topic, [first, end]) in of_topics {
            let wanted: Vec<i32> = first.iter().map(|(partition, _)| *partition).collect();
            let (from, to) = (SeekTo::Offsets(first), SeekTo::Offsets(end));
            let topics = vec![topic.to_string()];
            let found = self.spans(kafka, topics, (&from, &to), allow_gap).await?;
            let found = found.into_iter();
            spans.extend(found.filter(|span| wanted.contains(&span.partition.partition)));
        }
        Ok(spans)
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
