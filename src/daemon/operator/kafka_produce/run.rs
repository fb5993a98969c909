//! The records.

use super::config::Config;
use crate::daemon::operator::on_a_thread;
use serde_json::{Value, json};
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;
use tidemill_executor::operator::{Done, End, Failure, Job};
use tidemill_kafka::task::{Outgoing, ProduceWish, Produced, produce};

/// By this, readers tell what was written twice: it is the same at each try.
const ID: &str = "ce_id";

/// Writes the records.
pub(crate) async fn run(job: Job) -> Result<Done, End> {
    let config: Config = job.settings()?;
    let login = config.cluster.login(&job)?;
    let record = Outgoing {
        key: bytes_of(&job, "key", config.key.as_ref())?,
        value: value_of(&job, config.value.as_ref())?,
        headers: headers(&job, &config)?,
        partition: config.partition,
    };
    let id = id(&job);
    let file = match &config.file {
        Some(path) => Some(job.run_dir()?.join(job.text("file", path)?)),
        None => None,
    };
    let wish = ProduceWish {
        topic: job.text("topic", &config.topic)?,
        transaction: config.transaction.then(|| format!("tidemill/{id}")),
        timeout: Duration::from_millis(config.timeout),
    };
    let topic = wish.topic.clone();
    let produced = on_a_thread(move |stop| match file {
        None => produce(&login, &wish, [Ok(with_id(record, &id))].into_iter(), &stop),
        Some(path) => {
            let lines = lines(path, record, id);
            produce(&login, &wish, lines, &stop)
        }
    })
    .await?;
    job.note(&format!("{} records are in {topic}", produced.count));
    Ok(Done {
        output: Some(output(&topic, &produced)),
        ..Done::default()
    })
}

/// The same at each try, and no other task's.
fn id(job: &Job) -> String {
    let facts = job.facts();
    let mut id = format!("{}/{}/{}", facts.dag_id, facts.run_id, facts.task_id);
    if facts.map_index >= 0 {
        id.push_str(&format!("/{}", facts.map_index));
    }
    id
}

fn bytes_of(job: &Job, key: &str, text: Option<&String>) -> Result<Option<Vec<u8>>, Failure> {
    let rendered = text.map(|text| job.text(key, text)).transpose()?;
    Ok(rendered.map(String::into_bytes))
}

/// A text as it is, anything else as JSON; null is a tombstone.
fn value_of(job: &Job, value: Option<&Value>) -> Result<Option<Vec<u8>>, Failure> {
    let rendered = value.map(|value| job.value("value", value)).transpose()?;
    Ok(match rendered {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.into_bytes()),
        Some(other) => Some(other.to_string().into_bytes()),
    })
}

fn headers(job: &Job, config: &Config) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let pairs = config.headers.iter().map(|(name, text)| {
        let value = job.text(&format!("headers.{name}"), text)?;
        Ok((name.clone(), value.into_bytes()))
    });
    pairs.collect()
}

fn with_id(mut record: Outgoing, id: &str) -> Outgoing {
    let id = (ID.to_string(), id.as_bytes().to_vec());
    record.headers.push(id);
    record
}

/// A record for each line of a file.
fn lines(
    path: PathBuf,
    record: Outgoing,
    id: String,
) -> Box<dyn Iterator<Item = Result<Outgoing, String>>> {
    let wrong = {
        let path = path.clone();
        move |err: std::io::Error| format!("file: cannot read {}: {err}", path.display())
    };
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(err) => return Box::new(std::iter::once(Err(wrong(err)))),
    };
    let lines = std::io::BufReader::new(file).split(b'\n');
    let records = lines.enumerate().filter_map(move |(at, line)| match line {
        Err(err) => Some(Err(wrong(err))),
        Ok(mut line) => {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            let of_line = Outgoing {
                value: Some(line),
                ..record.clone()
            };
            let is_empty = of_line.value.as_ref().is_some_and(Vec::is_empty);
            (!is_empty).then(|| Ok(with_id(of_line, &format!("{id}/{}", at + 1))))
        }
    });
    Box::new(records)
}

fn output(topic: &str, produced: &Produced) -> Value {
    let partitions = produced.offsets.iter().map(|(partition, (first, last))| {
        json!({ "partition": partition, "first_offset": first, "last_offset": last })
    });
    json!({
        "topic": topic,
        "count": produced.count,
        "partitions": partitions.collect::<Vec<_>>(),
    })
}
