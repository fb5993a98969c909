//! One attempt.

use super::config::{Config, Mode, Output};
use super::streams::{Errors, Words};
use crate::operator::{Done, End, Failure, Job};
use serde_json::{Map, Value};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tidemill_model::Reason;
use tidemill_wasm::{Dir, Grants, Limits, Request, Runtime, Stdin, Why};

/// Runs the module and says what its end means.
pub(crate) async fn run(runtime: Arc<Runtime>, job: Job) -> Result<Done, End> {
    let config: Config = job.settings()?;
    let job = Arc::new(job);
    let stdout_file = config.stdout_file.as_ref();
    let stdout_file = stdout_file.map(|text| path(&job, "stdout_file", text));
    let keeps_all = job.has_outputs() || matches!(config.output, Output::Stdout | Output::Json);
    let words = Words::new(&job, keeps_all, stdout_file.transpose()?)?;
    let errors = Errors::new(&job);
    let request = Request {
        module: module(&job, &config.module)?,
        function: config.function.clone(),
        grants: grants(&job, &config)?,
        limits: Limits {
            memory: config.max_memory,
            fuel: config.fuel,
        },
        stdout: words.clone(),
        stderr: errors.clone(),
    };
    let ended = runtime.run(request).await.map_err(failure)?;
    if let Some(host) = &ended.refused_host {
        job.note(&format!(
            "{host} is not on allow_hosts: its request was refused"
        ));
    }
    if ended.exit_code == config.skip_on_exit_code && ended.exit_code != 0 {
        return Err(End::Skipped(format!("exit {}", ended.exit_code)));
    }
    if ended.exit_code != 0 {
        return Err(exit(&ended, errors.last()).into());
    }
    words.publish()?;
    let results = Map::from_iter([
        ("stdout".to_string(), Value::String(words.text())),
        ("exit_code".to_string(), Value::from(ended.exit_code)),
    ]);
    Ok(Done {
        output: words.output(config.output)?,
        exit_code: Some(ended.exit_code),
        results,
        ..Done::default()
    })
}

/// A status that is no success, with the module's last words.
fn exit(ended: &tidemill_wasm::End, last: Option<String>) -> Failure {
    let said = match (&ended.refused_host, last) {
        (Some(host), _) => format!(": it asked for {host}, which is not on allow_hosts"),
        (None, Some(line)) => format!(": {}", crate::operator::shell::quote(&line)),
        (None, None) => String::new(),
    };
    Failure {
        reason: Reason::ExitStatus,
        exit_code: Some(ended.exit_code),
        ..Failure::refused(format!("exit {}{said}", ended.exit_code))
    }
}

/// Why it was ended, in the words of attempts.
fn failure(failure: tidemill_wasm::Failure) -> Failure {
    let (reason, may_help) = match failure.why {
        Why::Fuel => (Reason::OutOfFuel, false),
        Why::Memory => (Reason::OutOfMemory, true),
        Why::Table => (Reason::TableLimit, true),
        Why::Stack => (Reason::StackOverflow, true),
        Why::Trap => (Reason::Trap, true),
        Why::Grant | Why::Host => (Reason::CouldNotStart, true),
        Why::Module | Why::Compile => (Reason::CouldNotStart, false),
    };
    let failed = Failure {
        reason,
        ..Failure::refused(failure.message)
    };
    if may_help { failed } else { failed.for_good() }
}

/// A file of the DAG's folder; the file format has looked at its name.
fn module(job: &Job, name: &str) -> Result<PathBuf, Failure> {
    let is_inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_inside {
        let message = format!("the module `{name}` is not in the DAG's folder");
        return Err(Failure::could_not_start(message));
    }
    Ok(job.dag_dir().join(name))
}

/// A rendered path; relative ones begin in the folder of the run.
fn path(job: &Job, key: &str, text: &str) -> Result<PathBuf, Failure> {
    Ok(job.run_dir()?.join(job.text(key, text)?))
}

fn grants(job: &Job, config: &Config) -> Result<Grants, Failure> {
    let mut args = vec![config.module.clone()];
    for (at, text) in config.args.iter().enumerate() {
        args.push(job.text(&format!("args[{at}]"), text)?);
    }
    let mut dirs = Vec::new();
    for (at, dir) in config.dirs.iter().enumerate() {
        dirs.push(Dir {
            host: path(job, &format!("dirs[{at}].host"), &dir.host)?,
            guest: dir.guest.clone(),
            mode: match dir.mode {
                Mode::Read => tidemill_wasm::Mode::Read,
                Mode::ReadWrite => tidemill_wasm::Mode::ReadWrite,
            },
        });
    }
    Ok(Grants {
        args,
        env: job.environment()?,
        stdin: stdin(job, config)?,
        dirs,
        hosts: config.allow_hosts.clone(),
    })
}

fn stdin(job: &Job, config: &Config) -> Result<Stdin, Failure> {
    if let Some(text) = &config.stdin {
        return Ok(Stdin::Bytes(job.text("stdin", text)?.into_bytes()));
    }
    let Some(text) = &config.stdin_file else {
        return Ok(Stdin::Empty);
    };
    let path = path(job, "stdin_file", text)?;
    let failed =
        |what: String| Failure::could_not_start(format!("stdin_file {}: {what}", path.display()));
    // Opening a pipe would wait for whoever writes it.
    let found = std::fs::metadata(&path).map_err(|err| failed(err.to_string()))?;
    if !found.is_file() {
        return Err(failed("it is not a plain file".to_string()));
    }
    let file = File::open(&path).map_err(|err| failed(err.to_string()))?;
    Ok(Stdin::File(file))
}
