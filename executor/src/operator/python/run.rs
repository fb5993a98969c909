//! A Python task as a process.

use super::config::Config;
use crate::AttemptSpec;
use crate::render::{render, render_value};
use serde_json::{Map, Value, json};
use tidemill_model::dag::{InProcess, Shell, ShellBody, ShellOutput};
use tidemill_template::Facts;

/// What the interpreter runs.
const RUNNER: &str = include_str!("runner.py");
/// `SystemExit` with this status means skipped, as for every task.
const SKIP: i32 = 99;

/// The command that a Python task is. Its output is what the runner writes to `$TIDEMILL_OUTPUT`.
pub(crate) fn as_shell(work: &InProcess) -> Shell {
    let config = Config::of(work).unwrap_or_default(); // `input` says what is wrong with it
    Shell {
        body: ShellBody::Command(format!("#!{}\n{RUNNER}", config.interpreter())),
        interpreter: None,
        args: Vec::new(),
        stdin: None,
        skip_on_exit_code: vec![SKIP],
        success_exit_codes: vec![0],
        output: ShellOutput::None,
    }
}

/// What the runner reads: never an argument, which everybody on the machine could see.
///
/// # Errors
/// Which setting cannot be used, and why.
pub(crate) fn input(spec: &AttemptSpec, work: &InProcess) -> Result<String, String> {
    let config = Config::of(work)?;
    let facts = &spec.facts;
    let interpreter = config.interpreter();
    if interpreter.contains(char::is_whitespace) {
        return Err(format!(
            "the interpreter `{interpreter}` has a space in its path, which no `#!` line can hold"
        ));
    }
    let mut args = Vec::with_capacity(config.args.len());
    for (at, arg) in config.args.iter().enumerate() {
        let arg = render(arg, facts).map_err(|err| format!("args[{at}]: {err}"))?;
        args.push(arg.into_owned());
    }
    let mut kwargs = Map::new();
    for (name, value) in &config.kwargs {
        let value = tree(value, facts).map_err(|err| format!("kwargs.{name}: {err}"))?;
        kwargs.insert(name.clone(), value);
    }
    let mut given = json!({"args": args, "kwargs": kwargs, "context": context(spec)});
    match (&config.script, &config.call) {
        (Some(script), _) => {
            let path = spec.dag_dir.join(script);
            if !path.is_file() {
                return Err(format!("there is no script {}", path.display()));
            }
            given["script"] = json!(path.to_string_lossy());
        }
        (None, Some(call)) => given["call"] = json!(call),
        (None, None) => return Err("the task says neither `script` nor `call`".to_string()),
    }
    Ok(given.to_string())
}

/// Renders every text inside a value; one that is exactly one `{{ }}` keeps its type.
fn tree(value: &Value, facts: &Facts) -> Result<Value, String> {
    match value {
        Value::String(text) => render_value(text, facts).map_err(|err| err.to_string()),
        Value::Array(items) => items.iter().map(|item| tree(item, facts)).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Ok((name.clone(), tree(value, facts)?));
            fields.iter().map(field).collect()
        }
        other => Ok(other.clone()),
    }
}

/// `tidemill_context`: ids, dates, params, try.
fn context(spec: &AttemptSpec) -> Value {
    let facts = &spec.facts;
    let instant = |at: Option<tidemill_model::Ts>| at.map(|at| at.to_string());
    let logical_date = instant(facts.logical_date);
    let day = logical_date
        .as_ref()
        .map(|text| text.chars().take(10).collect::<String>());
    json!({
        "dag_id": facts.dag_id,
        "task_id": facts.task_id,
        "run_id": facts.run_id,
        "run_type": facts.run_type,
        "try_number": facts.try_number,
        "map_index": facts.map_index,
        "map": facts.map,
        "params": facts.params,
        "conf": facts.conf,
        "logical_date": logical_date,
        "ds": day,
        "data_interval_start": instant(facts.data_interval_start),
        "data_interval_end": instant(facts.data_interval_end),
        "run_dir": facts.run_dir,
    })
}
