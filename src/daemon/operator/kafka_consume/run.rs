//! The range, and what is in it.

use super::config::Config;
use crate::daemon::operator::cluster::edge;
use crate::daemon::operator::{Spans, on_a_thread, span_of};
use serde_json::{Value, json};
use tidemill_executor::operator::{Done, End, Failure, Job, NewFile};
use tidemill_kafka::Login;
use tidemill_kafka::task::{Edge, ReadWish, SpanWish, fix, read};
use tidemill_store::Span;
use tokio::sync::mpsc;

/// Without `save_to` so many bytes of records can be the output.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Lines travel to the file in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// Reads.
pub(crate) async fn run(job: Job, spans: Spans) -> Result<Done, End> {
    let config: Config = job.settings()?;
    let login = config.cluster.login(&job)?;
    let range = range(&job, &config, &login, &spans).await?;
    for span in &range {
        job.note(&format!(
            "{}/{}: {} to {}",
            span.partition.topic,
            span.partition.partition,
            span.first,
            end_of(span)
        ));
    }
    let wish = ReadWish {
        isolation: config.reading.isolation(),
        key_format: config.reading.key_format(),
        value_format: config.reading.value_format(),
    };
    let (told, n_bytes, file, records) = match &config.save_to {
        Some(path) => {
            let mut file = NewFile::create(&job, &job.text("save_to", path)?).await?;
            let (of_thread, mut pieces) = mpsc::channel::<Vec<u8>>(4);
            let spans = range.clone();
            let reading = on_a_thread(move |stop| {
                let mut piece = Vec::new();
                let mut count = 0u64;
                let gone = || "nobody takes the records any more".to_string();
                read(&login, &wish, &spans, &stop, |line| {
                    count += 1;
                    piece.extend_from_slice(line.as_bytes());
                    if piece.len() < PIECE_BYTES {
                        return Ok(());
                    }
                    let full = std::mem::take(&mut piece);
                    of_thread.blocking_send(full).map_err(|_| gone())
                })?;
                let sent = of_thread.blocking_send(piece);
                sent.map_err(|_| tidemill_kafka::task::TaskError::Brokers(gone()))?;
                Ok(count)
            });
            let writing = async {
                while let Some(piece) = pieces.recv().await {
                    file.write(&piece).await?;
                }
                Ok::<_, End>(())
            };
            let (count, ()) = tokio::try_join!(reading, writing)?;
            let n_bytes = file.written;
            let path = file.keep().await?;
            let path = path.display().to_string();
            (count, n_bytes, Some(path), None)
        }
        None => {
            let spans = range.clone();
            let records = on_a_thread(move |stop| {
                let mut text = String::new();
                read(&login, &wish, &spans, &stop, |line| {
                    text.push_str(line);
                    match text.len() > OUTPUT_BYTES_MAX {
                        true => Err(format!(
                            "there are more than {OUTPUT_BYTES_MAX} bytes of records: give `save_to` a file"
                        )),
                        false => Ok(()),
                    }
                })?;
                Ok(text)
            })
            .await?;
            let parsed = records.lines().map(serde_json::from_str::<Value>);
            let parsed: Vec<Value> = parsed
                .collect::<Result<_, _>>()
                .map_err(|err| Failure::bad_output(format!("a record cannot be kept: {err}")))?;
            let n_bytes = records.len() as u64;
            (parsed.len() as u64, n_bytes, None, Some(parsed))
        }
    };
    let mut output = json!({ "count": told, "bytes": n_bytes, "partitions": partitions(&range) });
    if let Some(path) = file {
        output["file"] = Value::from(path);
    }
    if let Some(records) = records {
        output["records"] = Value::from(records);
    }
    Ok(Done {
        output: Some(output),
        ..Done::default()
    })
}

/// What an earlier attempt has fixed, or what the settings mean now, which is fixed then.
async fn range(job: &Job, config: &Config, login: &Login, spans: &Spans) -> Result<Vec<Span>, End> {
    let of = span_of(job);
    let fixed = spans.fixed(of).await?;
    if !fixed.is_empty() {
        return Ok(fixed);
    }
    let from = match config.from.as_str() {
        Some("last") => Edge::Last(spans.read_up_to(of).await?),
        Some("earliest") => Edge::Earliest,
        _ => edge(job, "from", &config.from)?,
    };
    let to = match config.to.as_str() {
        Some("end_at_start") => Edge::Latest,
        _ => edge(job, "to", &config.to)?,
    };
    let wish = SpanWish {
        topics: config.reading.topics.clone(),
        from,
        to,
        n_max: config.max_messages,
        isolation: config.reading.isolation(),
    };
    let login = login.clone();
    let found = on_a_thread(move |_| fix(&login, &wish)).await?;
    spans.fix(of, found).await
}

fn end_of(span: &Span) -> i64 {
    span.end.unwrap_or(span.first)
}

fn partitions(range: &[Span]) -> Value {
    let told = range.iter().map(|span| {
        json!({
            "topic": span.partition.topic,
            "partition": span.partition.partition,
            "first_offset": span.first,
            "end_offset": end_of(span),
        })
    });
    told.collect()
}
