//! The wait.

use super::config::Config;
use crate::daemon::operator::cluster::edge;
use crate::daemon::operator::{Spans, failure, on_a_thread, span_of};
use futures_util::future::select_all;
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tidemill_executor::operator::{Done, End, Failure, Job};
use tidemill_kafka::Login;
use tidemill_kafka::task::{Edge, Found, Tailers, Watch, WatchWish, starts};
use tidemill_store::Span;
use tidemill_template::Expression;

/// Whoever comes back after its time looks for so long.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// Waits.
pub(crate) async fn run(job: Job, spans: Spans, tailers: Arc<Tailers>) -> Result<Done, End> {
    let config: Config = job.settings()?;
    let login = config.cluster.login(&job)?;
    let begins = begins(&job, &config, &login, &spans).await?;
    let mut watches = Vec::new();
    for topic in &config.reading.topics {
        let mine = begins.iter().filter(|span| span.partition.topic == *topic);
        watches.push(watch(&job, &config, &login, &tailers, topic, mine)?);
    }
    job.defer(Vec::new());
    let limit = Duration::from_millis(config.timeout);
    let waiting = select_all(watches.iter_mut().map(|watch| Box::pin(watch.found())));
    // What came before a lost attempt's time was up is still read by the one after it.
    let left = job.left_of(limit).max(limit.min(LAST_LOOK));
    let found = match tokio::time::timeout(left, waiting).await {
        Ok((found, ..)) => found.map_err(failure)?,
        Err(_) => return Err(too_late(&config, limit)),
    };
    Ok(done(&job, found))
}

fn done(job: &Job, found: Found) -> Done {
    if let Some((count, first)) = found.unreadable {
        job.note(&format!(
            "{count} records could not be looked at; the first: {first}"
        ));
    }
    Done {
        results: Map::from_iter([("record".to_string(), found.record.clone())]),
        output: Some(found.record),
        ..Done::default()
    }
}

fn too_late(config: &Config, limit: Duration) -> End {
    let message = format!(
        "no such record came within `timeout`, {}",
        tidemill_model::time::human(limit)
    );
    match config.soft_fail {
        true => End::Skipped(message),
        false => Failure::timed_out(message).for_good().into(),
    }
}

fn watch<'s>(
    job: &Job,
    config: &Config,
    login: &Login,
    tailers: &Tailers,
    topic: &str,
    starts: impl Iterator<Item = &'s Span>,
) -> Result<Watch, Failure> {
    let filter = config.filter.as_deref();
    let filter = filter.map(|text| Expression::of_task(text, job.facts()));
    let wrong = |what: String| Failure::could_not_start(what).for_good();
    let wish = WatchWish {
        topic: topic.to_string(),
        starts: starts.cloned().collect(),
        isolation: config.reading.isolation(),
        key_format: config.reading.key_format(),
        value_format: config.reading.value_format(),
        filter: filter
            .transpose()
            .map_err(|err| wrong(format!("filter: {err}")))?,
    };
    let watched = tailers.watch(login, wish);
    watched.map_err(|err| Failure::could_not_start(format!("cannot start a thread: {err}")))
}

/// Where waiting begins: fixed by the first attempt, so that a record that comes between two
/// attempts is not missed.
async fn begins(
    job: &Job,
    config: &Config,
    login: &Login,
    spans: &Spans,
) -> Result<Vec<Span>, End> {
    let of = span_of(job);
    let fixed = spans.fixed(of).await?;
    if !fixed.is_empty() {
        return Ok(fixed);
    }
    let from = match config.since.as_str() {
        Some("run_start") => Edge::At(job.run_started_at()),
        Some("task_start") => Edge::Latest,
        Some("earliest") => Edge::Earliest,
        _ => edge(job, "since", &config.since)?,
    };
    let (login, topics) = (login.clone(), config.reading.topics.clone());
    let isolation = config.reading.isolation();
    let found = on_a_thread(move |_| starts(&login, &topics, &from, isolation)).await?;
    spans.fix(of, found).await
}
