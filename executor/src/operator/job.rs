//! One attempt of an operator that runs inside the worker: what it is given and how it ends.

use crate::AttemptSpec;
use crate::log::thread::LogHandle;
use crate::render::{condition, render, render_value};
use crate::values::{check_sizes, declared, put};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_connection::{Connection, Masker, Secret};
use tidemill_model::attempt::{Again, Verdict};
use tidemill_model::{Attempt, Operator, Outcome, Reason, Ts};
use tidemill_template::Facts;

/// The key under which it is kept since when a task waits.
const WAITING_SINCE: &str = "waiting_since";

/// One attempt to do.
pub struct Job {
    spec: AttemptSpec,
    log: LogHandle,
    /// What this attempt must never show.
    hidden: Arc<Mutex<Vec<Secret>>>,
    /// Tells that it gives its slot back.
    deferral: Deferral,
}

/// Tells the worker that an attempt waits, and what to keep of it until it ends.
pub(crate) type Deferral = Box<dyn Fn(Vec<(String, Value)>) + Send + Sync>;

/// Whose words a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The work's standard output.
    Output,
    /// Its standard error.
    Error,
    /// Tidemill's own notes about it.
    Note,
}

/// A success and what it leaves.
#[derive(Debug, Default)]
pub struct Done {
    /// The task's output, `return_value`; masked and capped before it is kept.
    pub output: Option<Value>,
    /// Its exit status, where it has one.
    pub exit_code: Option<i32>,
    /// More values by key.
    pub values: Vec<(String, Value)>,
    /// Names that `outputs` may use besides `result`, which is the output.
    pub results: Map<String, Value>,
}

/// An end that is no success.
#[derive(Debug)]
pub enum End {
    /// It failed.
    Failed(Failure),
    /// It asks to be skipped, and says why.
    Skipped(String),
}

/// Why an attempt failed.
#[derive(Debug)]
pub struct Failure {
    /// What kind of failure.
    pub reason: Reason,
    /// One line for people.
    pub message: String,
    /// Its exit status, where it has one.
    pub exit_code: Option<i32>,
    /// The status of the answer that made it fail.
    pub http_status: Option<u16>,
    /// What is known about trying again.
    pub again: Option<Again>,
}

impl Failure {
    /// The time is up.
    pub fn timed_out(message: impl Into<String>) -> Failure {
        Failure {
            reason: Reason::TimedOut,
            ..Failure::refused(message)
        }
    }

    /// Something was refused or did not come; another try may help.
    pub fn refused(message: impl Into<String>) -> Failure {
        Failure {
            reason: Reason::Refused,
            message: message.into(),
            exit_code: None,
            http_status: None,
            again: None,
        }
    }

    /// The settings or templates cannot be used.
    pub fn could_not_start(message: impl Into<String>) -> Failure {
        Failure {
            reason: Reason::CouldNotStart,
            ..Failure::refused(message)
        }
    }

    /// What came is not what the file promises.
    pub fn bad_output(message: impl Into<String>) -> Failure {
        Failure {
            reason: Reason::BadOutput,
            ..Failure::refused(message)
        }
    }

    /// The same; another try cannot help.
    pub fn for_good(mut self) -> Failure {
        self.again = Some(Again::Never);
        self
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Failed(failure)
    }
}

impl Job {
    pub(crate) fn new(spec: AttemptSpec, log: LogHandle, deferral: Deferral) -> Job {
        let hidden = Arc::new(Mutex::new(spec.facts.found.hidden()));
        Job {
            spec,
            log,
            hidden,
            deferral,
        }
    }

    /// What an attempt before this one kept under `key` when it was deferred, and whose end nobody
    /// has heard of.
    pub fn kept(&self, key: &str) -> Option<Value> {
        self.spec.kept.get(key).cloned()
    }

    /// When the first attempt of this wait began: before this one, if that was lost.
    fn waits_since(&self) -> Ts {
        let kept = self.kept(WAITING_SINCE);
        let kept = kept.and_then(|since| serde_json::from_value(since).ok());
        kept.unwrap_or(self.spec.now)
    }

    /// How much is left of the time that it may wait: what attempts before this one have waited
    /// is gone, and the time in which nobody waited too.
    pub fn left_of(&self, timeout: Duration) -> Duration {
        timeout.saturating_sub(self.spec.now.since(self.waits_since()))
    }

    /// Gives the slot back and goes on: for work that only waits from now on. `values` are kept
    /// with the task's, and since when it waits.
    pub fn defer(&self, mut values: Vec<(String, Value)>) {
        let since = serde_json::json!(self.waits_since());
        values.push((WAITING_SINCE.to_string(), since));
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let masker = Masker::new(&hidden);
        drop(hidden);
        for (_, value) in &mut values {
            masker.value(value);
        }
        (self.deferral)(values);
    }

    /// Who it is.
    pub fn attempt(&self) -> Attempt {
        self.spec.attempt
    }

    /// When its run started.
    pub fn run_started_at(&self) -> Ts {
        self.spec.run_started_at
    }

    /// What its templates see.
    pub fn facts(&self) -> &Facts {
        &self.spec.facts
    }

    /// The DAG's folder at the pinned version.
    pub fn dag_dir(&self) -> &std::path::Path {
        &self.spec.dag_dir
    }

    /// The folder that the tasks of the run share, made when it is asked for.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn run_dir(&self) -> Result<&std::path::Path, Failure> {
        std::fs::create_dir_all(&self.spec.run_dir).map_err(|err| {
            let folder = self.spec.run_dir.display();
            Failure::could_not_start(format!("cannot make the run's folder {folder}: {err}"))
        })?;
        Ok(&self.spec.run_dir)
    }

    /// The operator's settings.
    ///
    /// # Errors
    /// When they are not what the file format lets through: a bug, or a file of another version.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let Operator::InProcess(work) = &self.task().operator else {
            return Err(Failure::could_not_start("the operator has no settings"));
        };
        serde_json::from_value(Value::Object(work.settings.clone())).map_err(|err| {
            Failure::could_not_start(format!(
                "cannot read the settings of `{}`: {err}",
                work.kind
            ))
        })
    }

    /// Renders a text of the settings; `key` is for the message.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn text(&self, key: &str, text: &str) -> Result<String, Failure> {
        let rendered = render(text, &self.spec.facts);
        let rendered = rendered.map_err(|err| Failure::could_not_start(format!("{key}: {err}")))?;
        Ok(rendered.into_owned())
    }

    /// Renders every text inside a value; one that is exactly one `{{ }}` keeps its type.
    ///
    /// # Errors
    /// What is wrong with a template.
    pub fn value(&self, key: &str, value: &Value) -> Result<Value, Failure> {
        self.value_with(key, value, &self.spec.facts)
    }

    fn value_with(&self, key: &str, value: &Value, facts: &Facts) -> Result<Value, Failure> {
        let inner = |value: &Value| self.value_with(key, value, facts);
        match value {
            Value::String(text) => render_value(text, facts)
                .map_err(|err| Failure::could_not_start(format!("{key}: {err}"))),
            Value::Array(items) => items.iter().map(inner).collect(),
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| Ok((name.clone(), inner(value)?));
                fields.iter().map(field).collect()
            }
            other => Ok(other.clone()),
        }
    }

    /// Renders a template that also sees what the work has left so far.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn look(&self, key: &str, text: &str, results: &Results) -> Result<Value, Failure> {
        render_value(text, &self.facts_with(results))
            .map_err(|err| Failure::bad_output(format!("{key}: {err}")))
    }

    /// The same for one that must be true or false.
    ///
    /// # Errors
    /// What is wrong with the template, or the value that is neither.
    pub fn holds(&self, key: &str, text: &str, results: &Results) -> Result<bool, Failure> {
        condition(key, text, &self.facts_with(results)).map_err(Failure::bad_output)
    }

    fn facts_with(&self, results: &Results) -> Facts {
        Facts {
            result: Some(Arc::clone(results)),
            ..self.spec.facts.clone()
        }
    }

    /// The task's own environment: `env`, and `secrets` by their variables.
    ///
    /// # Errors
    /// What is wrong with a template, or where a secret was looked for.
    pub fn environment(&self) -> Result<Vec<(String, String)>, Failure> {
        let task = self.task();
        let mut env = Vec::new();
        for (name, text) in &task.env {
            env.push((name.clone(), self.text(&format!("env.{name}"), text)?));
        }
        for secret in &task.secrets {
            if secret.as_file {
                let message = format!(
                    "the secret `{}` cannot be a file here: only tasks with a process see files of secrets",
                    secret.env
                );
                return Err(Failure::could_not_start(message).for_good());
            }
            env.push((secret.env.clone(), self.secret(&secret.from)?));
        }
        Ok(env)
    }

    /// Does the file name values to keep after success?
    pub fn has_outputs(&self) -> bool {
        !self.task().outputs.is_empty()
    }

    /// Writes a line of Tidemill's own into the log.
    pub fn note(&self, text: &str) {
        self.log.write(Stream::Note, format!("{text}\n").as_bytes());
    }

    /// Writes what the work itself says into the log, as it comes.
    pub fn print(&self, stream: Stream, bytes: &[u8]) {
        self.log.write(stream, bytes);
    }

    /// Never show these values, from now on: not in the log, nor in an error or an output.
    pub fn hide(&self, values: impl IntoIterator<Item = String>) {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.extend(values.into_iter().map(Secret::new));
        self.log.hide(Masker::new(&hidden));
    }

    /// Looks a secret up by the name that the file has for it: `conn.NAME.FIELD` or `var.NAME`.
    /// It is hidden from then on.
    ///
    /// # Errors
    /// Where it was looked for; never a part of a value.
    pub fn secret(&self, from: &str) -> Result<String, Failure> {
        let value = self.spec.facts.found.secret(from);
        let value = value.map_err(Failure::could_not_start)?;
        self.hide([value.expose().to_string()]);
        Ok(value.expose().to_string())
    }

    /// A connection that the settings name. What nobody may see of it is hidden already.
    ///
    /// # Errors
    /// When it is not there; the file's analysis has then not found its name.
    pub fn connection(&self, id: &str) -> Result<&Connection, Failure> {
        let found = self.spec.facts.found.connection(id);
        found.map_err(Failure::could_not_start)
    }

    fn task(&self) -> &tidemill_model::Task {
        self.spec.dag.task(self.spec.task)
    }

    /// What must be done with the job when its work is over.
    pub(crate) fn closing(&self) -> Closing {
        Closing {
            dag: Arc::clone(&self.spec.dag),
            task: self.spec.task,
            facts: self.spec.facts.clone(),
            hidden: Arc::clone(&self.hidden),
        }
    }
}

/// What the work of a task has left, by name.
pub type Results = Arc<Map<String, Value>>;

/// Turns the end of the work into the end of the attempt.
pub(crate) struct Closing {
    dag: Arc<tidemill_model::Dag>,
    task: tidemill_model::TaskIndex,
    facts: Facts,
    hidden: Arc<Mutex<Vec<Secret>>>,
}

impl Closing {
    /// The outcome, masked and within the limits of values.
    pub(crate) fn outcome(self, end: Result<Done, End>) -> Outcome {
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let masker = Masker::new(&hidden);
        drop(hidden);
        let failure = match end {
            Ok(done) => match (done.exit_code, self.values(done, &masker)) {
                (exit_code, Ok(values)) => {
                    return Outcome {
                        values,
                        exit_code,
                        ..Outcome::success()
                    };
                }
                (_, Err(message)) => Failure::bad_output(message),
            },
            Err(End::Skipped(why)) => {
                let (verdict, reason) = (Verdict::Skipped, Reason::SkippedItself);
                return Outcome::without_process(verdict, reason, masker.text(&why).into_owned());
            }
            Err(End::Failed(failure)) => failure,
        };
        let message = masker.text(&failure.message).into_owned();
        Outcome {
            exit_code: failure.exit_code,
            http_status: failure.http_status,
            again: failure.again,
            ..Outcome::without_process(Verdict::Failed, failure.reason, message)
        }
    }

    fn values(mut self, done: Done, masker: &Masker) -> Result<Vec<(String, Value)>, String> {
        let task = self.dag.task(self.task);
        if !task.do_xcom_push {
            return Ok(Vec::new());
        }
        let mut values = Vec::new();
        if let Some(output) = &done.output {
            put(&mut values, "return_value", output.clone());
        }
        for (key, value) in done.values {
            put(&mut values, &key, value);
        }
        if !task.outputs.is_empty() {
            let mut results = done.results;
            results.insert("result".to_string(), done.output.unwrap_or(Value::Null));
            self.facts.result = Some(Arc::new(results));
            declared(task, &self.facts, &mut values)?;
        }
        for (_, value) in &mut values {
            masker.value(value);
        }
        check_sizes(&values)?;
        Ok(values)
    }
}
