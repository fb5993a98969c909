//! A file whose rows go into a table, read line by line.

use super::config::{Format, Load, Mode};
use crate::operator::{Failure, Job};
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

/// A line of a file is not longer, in bytes.
const LINE_MAX: u64 = 16 * 1024 * 1024;

/// The rows of a file, read one at a time.
type Rows<'a> = Box<dyn Iterator<Item = Result<Vec<Value>, Failure>> + Send + 'a>;

/// What is loaded, and where to.
pub(super) struct Plan {
    pub path: PathBuf,
    pub format: Format,
    /// The table, its name quoted.
    pub table: String,
    /// Columns of the table, in the order of the file.
    pub columns: Vec<String>,
    pub mode: Mode,
    pub key: Vec<String>,
}

impl Plan {
    /// Renders the settings and reads the file's head.
    pub(super) fn new(job: &Job, load: &Load) -> Result<Plan, Failure> {
        let path = job.run_dir()?.join(job.text("load.file", &load.file)?);
        let format = load.format.or_else(|| Format::of(&path)).ok_or_else(|| {
            Failure::could_not_start("load: the file's name does not say its format; add `format`")
                .for_good()
        })?;
        let mut plan = Plan {
            path,
            format,
            table: load
                .table
                .split('.')
                .map(quote)
                .collect::<Vec<_>>()
                .join("."),
            columns: Vec::new(),
            mode: load.mode,
            key: load.key.clone(),
        };
        plan.columns = match &load.columns {
            Some(columns) => columns.clone(),
            None => plan.head()?,
        };
        if let Some(key) = plan.key.iter().find(|key| !plan.columns.contains(key)) {
            let message = format!(
                "load: the key `{key}` is not among the columns {}",
                plan.columns.join(", ")
            );
            return Err(Failure::could_not_start(message).for_good());
        }
        Ok(plan)
    }

    fn open(&self) -> Result<std::fs::File, Failure> {
        std::fs::File::open(&self.path).map_err(|err| {
            Failure::could_not_start(format!("load: cannot read {}: {err}", self.path.display()))
        })
    }

    /// The columns that the file names; none when it is empty.
    fn head(&self) -> Result<Vec<String>, Failure> {
        match self.format {
            Format::Csv => {
                let mut reader = csv::Reader::from_reader(self.open()?);
                let head = reader.headers().map_err(|err| self.odd(1, &err))?;
                Ok(head.iter().map(str::to_string).collect())
            }
            Format::Ndjson => {
                let first = self.objects()?.next().transpose()?;
                Ok(first
                    .map(|row| row.keys().cloned().collect())
                    .unwrap_or_default())
            }
        }
    }

    /// The rows, each with a value for each column.
    pub(super) fn rows(&self) -> Result<Rows<'_>, Failure> {
        Ok(match self.format {
            Format::Csv => Box::new(self.csv_rows()?),
            Format::Ndjson => Box::new(self.objects()?.map(|row| self.in_order(row?))),
        })
    }

    fn csv_rows(
        &self,
    ) -> Result<impl Iterator<Item = Result<Vec<Value>, Failure>> + Send + '_, Failure> {
        let reader = csv::Reader::from_reader(BufReader::new(self.open()?));
        let rows = reader.into_records().enumerate();
        Ok(rows.map(|(at, record)| {
            let record = record.map_err(|err| self.odd(at + 2, &err))?;
            if record.len() != self.columns.len() {
                let what = format!("{} values for {} columns", record.len(), self.columns.len());
                return Err(self.odd(at + 2, &what));
            }
            let value = |text: &str| match text {
                "" => Value::Null,
                text => Value::from(text),
            };
            Ok(record.iter().map(value).collect())
        }))
    }

    fn objects(
        &self,
    ) -> Result<impl Iterator<Item = Result<Map<String, Value>, Failure>> + Send + '_, Failure>
    {
        let mut reader = BufReader::with_capacity(1 << 18, self.open()?);
        let mut n_line = 0;
        let mut line = Vec::new();
        Ok(std::iter::from_fn(move || {
            loop {
                n_line += 1;
                line.clear();
                let read = std::io::Read::take(&mut reader, LINE_MAX).read_until(b'\n', &mut line);
                match read {
                    Ok(0) => return None,
                    Ok(_) if line.trim_ascii().is_empty() => continue,
                    Ok(_) => {
                        let row = serde_json::from_slice(&line);
                        return Some(row.map_err(|err| self.odd(n_line, &err)));
                    }
                    Err(err) => return Some(Err(self.odd(n_line, &err))),
                }
            }
        }))
    }

    fn in_order(&self, mut row: Map<String, Value>) -> Result<Vec<Value>, Failure> {
        let values = self.columns.iter();
        Ok(values
            .map(|name| row.remove(name).unwrap_or(Value::Null))
            .collect())
    }

    fn odd(&self, line: usize, what: &dyn std::fmt::Display) -> Failure {
        Failure::bad_output(format!(
            "load: {}, line {line}: {what}",
            self.path.display()
        ))
    }

    /// The columns for a statement.
    pub(super) fn column_list(&self) -> String {
        self.columns
            .iter()
            .map(|name| quote(name))
            .collect::<Vec<_>>()
            .join(", ")
    }

    pub(super) fn key_list(&self) -> String {
        self.key
            .iter()
            .map(|name| quote(name))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// What an upsert does to a row that is there: it takes every value but the key's.
    pub(super) fn on_conflict(&self) -> String {
        let others = self.columns.iter().filter(|name| !self.key.contains(name));
        let sets: Vec<String> = others
            .map(|name| format!("{0} = excluded.{0}", quote(name)))
            .collect();
        let what = match sets.is_empty() {
            true => "nothing".to_string(),
            false => format!("update set {}", sets.join(", ")),
        };
        format!("on conflict ({}) do {what}", self.key_list())
    }
}

/// A name as both databases quote it.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
