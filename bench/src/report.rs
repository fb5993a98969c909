//! The result, as a table while it is made or as one JSON object at the end.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

/// Rows by section.
pub struct Report {
    json: bool,
    sections: Map<String, Value>,
    current: String,
    n_void: usize,
}

impl Report {
    /// An empty one.
    pub fn new(json: bool) -> Report {
        Report {
            json,
            sections: Map::new(),
            current: String::new(),
            n_void: 0,
        }
    }

    /// Begins a section.
    pub fn section(&mut self, name: &str) {
        self.current = name.to_string();
        self.sections.insert(name.to_string(), json!({}));
        if !self.json {
            println!("\n{name}");
        }
    }

    /// A latency beside that of an idle server, and beside one commit.
    pub fn ratios(&mut self, name: &str, ms: f64, idle_ms: f64, commit_ms: Option<f64>) {
        let beside = |what: &str| format!("{name}, beside {what}");
        self.row(&beside("an idle server"), ms / idle_ms, "times");
        if let Some(commit_ms) = commit_ms {
            self.row(&beside("one commit"), ms / commit_ms, "commits");
        }
    }

    /// A number with its unit.
    pub fn row(&mut self, name: &str, value: f64, unit: &str) {
        if !self.json {
            let digits = if value.abs() >= 1000.0 {
                0
            } else if value.abs() >= 10.0 {
                1
            } else {
                3
            };
            println!("  {name:<48} {value:>12.digits$} {unit}");
        }
        self.put(name, json!({"value": value, "unit": unit}));
    }

    /// A sentence.
    pub fn note(&mut self, text: &str) {
        if !self.json {
            println!("  {text}");
        }
        self.put(&format!("note: {text}"), Value::Null);
    }

    fn put(&mut self, name: &str, value: Value) {
        if let Some(Value::Object(section)) = self.sections.get_mut(&self.current) {
            section.insert(name.to_string(), value);
        }
    }

    /// Keeps what went wrong with one measurement, so that the others go on.
    pub fn keep(&mut self, what: &str, done: Result<()>) {
        if let Err(err) = done {
            self.section(&format!("{what}: void"));
            self.note(&format!("{err:#}"));
            self.n_void += 1;
        }
    }

    /// Prints what is still to be printed.
    ///
    /// # Errors
    /// When a measurement is void.
    pub fn end(self) -> Result<()> {
        if self.json {
            println!("{:#}", Value::Object(self.sections));
        }
        if self.n_void > 0 {
            bail!("{} measurements are void", self.n_void);
        }
        Ok(())
    }
}
