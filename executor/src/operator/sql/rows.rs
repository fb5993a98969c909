//! Rows that come out: kept for the output, or written to a file.

use super::config::{Format, Output};
use crate::operator::{Failure, Job, NewFile};
use serde_json::{Map, Value};
use std::path::Path;

/// A row, its columns in their order.
pub(super) type Row = Map<String, Value>;

/// Lines are collected before they are written.
const CHUNK: usize = 64 * 1024;
/// The most that rows may hold in memory, in bytes of JSON.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Takes the rows of the last statement.
pub(super) struct Rows {
    kept: Vec<Value>,
    bytes: usize,
    pub count: u64,
    max: u64,
    file: Option<RowFile>,
}

struct RowFile {
    file: NewFile,
    format: Format,
    chunk: Vec<u8>,
    has_header: bool,
}

impl Rows {
    /// Keeps rows, up to `max`.
    pub(super) fn kept(max: u64) -> Rows {
        Rows {
            kept: Vec::new(),
            bytes: 0,
            count: 0,
            max,
            file: None,
        }
    }

    /// Writes all of them to a file.
    pub(super) async fn saved(job: &Job, path: &str) -> Result<Rows, Failure> {
        let format = Format::of(Path::new(path)).ok_or_else(|| {
            Failure::could_not_start("save_to: the name must end with .csv, .ndjson or .jsonl")
                .for_good()
        })?;
        let file = RowFile {
            file: NewFile::create(job, path).await?,
            format,
            chunk: Vec::new(),
            has_header: false,
        };
        Ok(Rows {
            file: Some(file),
            ..Rows::kept(u64::MAX)
        })
    }

    /// Takes the next row.
    pub(super) async fn take(&mut self, row: Row) -> Result<(), Failure> {
        self.count += 1;
        if let Some(file) = &mut self.file {
            return file.put(&row).await;
        }
        if self.count > self.max {
            let message = format!(
                "more than max_rows, {}: write them to a file with `save_to`",
                self.max
            );
            return Err(Failure::bad_output(message).for_good());
        }
        self.bytes += row
            .iter()
            .map(|(name, value)| name.len() + size(value))
            .sum::<usize>();
        if self.bytes > BYTES_MAX {
            let message = format!(
                "the rows hold more than {BYTES_MAX} bytes: write them to a file with `save_to`"
            );
            return Err(Failure::bad_output(message).for_good());
        }
        self.kept.push(Value::Object(row));
        Ok(())
    }

    /// All rows that were kept.
    pub(super) fn all(&self) -> Value {
        Value::Array(self.kept.clone())
    }

    /// The first row, and its first value.
    pub(super) fn first(&self) -> (Value, Value) {
        let row = self.kept.first().cloned().unwrap_or(Value::Null);
        let value = row.as_object().and_then(|row| row.values().next()).cloned();
        (row, value.unwrap_or(Value::Null))
    }

    /// What becomes the output.
    pub(super) async fn output(self, output: Output) -> Result<Option<Value>, Failure> {
        let (row, value) = self.first();
        if let Some(file) = self.file {
            return file.keep(self.count).await.map(Some);
        }
        Ok(match output {
            Output::Rows => Some(Value::Array(self.kept)),
            Output::One => Some(row),
            Output::Value => Some(value),
            Output::None => None,
        })
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    }
}

impl RowFile {
    async fn put(&mut self, row: &Row) -> Result<(), Failure> {
        match self.format {
            Format::Ndjson => {
                let _ = serde_json::to_writer(&mut self.chunk, row); // memory takes everything
                self.chunk.push(b'\n');
            }
            Format::Csv => {
                if !std::mem::replace(&mut self.has_header, true) {
                    csv_line(
                        &mut self.chunk,
                        row.keys().map(|name| Value::from(name.as_str())),
                    );
                }
                csv_line(&mut self.chunk, row.values().cloned());
            }
        }
        if self.chunk.len() >= CHUNK {
            self.file.write(&self.chunk).await?;
            self.chunk.clear();
        }
        Ok(())
    }

    async fn keep(mut self, count: u64) -> Result<Value, Failure> {
        self.file.write(&self.chunk).await?;
        let size = self.file.written;
        let path = self.file.keep().await?;
        Ok(serde_json::json!({ "path": path.display().to_string(), "size": size, "rows": count }))
    }
}

/// One line of CSV as PostgreSQL reads it: null is nothing, an empty text is `""`.
pub(super) fn csv_line(out: &mut Vec<u8>, values: impl Iterator<Item = Value>) {
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match value {
            Value::Null => {}
            Value::String(text) => csv_text(out, &text),
            Value::Bool(_) | Value::Number(_) => {
                out.extend_from_slice(value.to_string().as_bytes())
            }
            Value::Array(_) | Value::Object(_) => csv_text(out, &value.to_string()),
        }
    }
    out.push(b'\n');
}

fn csv_text(out: &mut Vec<u8>, text: &str) {
    let is_plain = !text.is_empty()
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text != "\\."
        && !text.contains(['"', ',', '\n', '\r']);
    if is_plain {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn csv_tells_null_from_an_empty_text_and_quotes_what_it_must() {
        let mut out = Vec::new();
        let values = [
            json!(null),
            json!(""),
            json!("a,\"b\"\n"),
            json!(1.5),
            json!(true),
            json!([1]),
            json!(" x"),
        ];
        csv_line(&mut out, values.into_iter());
        assert_eq!(
            String::from_utf8_lossy(&out),
            ",\"\",\"a,\"\"b\"\"\n\",1.5,true,[1],\" x\"\n"
        );
    }
}
