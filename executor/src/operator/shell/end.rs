//! From the end of a process to the end of an attempt.

use super::rejects;
use crate::AttemptSpec;
use crate::log::sink::{Captured, STDOUT_MAX};
use crate::operator::python;
use crate::render::could_not_start;
use crate::resources;
use crate::supervisor::message::{Cause, Ending};
use crate::values::{VALUE_MAX, check_sizes, declared, put};
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidemill_connection::Masker;
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::{Shell, ShellOutput};
use tidemill_model::{Outcome, Reason, Task};

/// The most of a task's own words in a message.
const QUOTE_MAX: usize = 500;

/// What became of an attempt's process.
pub(crate) enum Fate {
    /// It ran and ended.
    Ended(Ending),
    /// It could not be started.
    Refused(String),
    /// The supervisor died with it.
    Lost,
}

/// The note at the end of the log, where Tidemill had a hand in the end.
pub(crate) fn note(
    fate: &Fate,
    killed: Option<Reason>,
    timeout: Option<Duration>,
) -> Option<String> {
    match fate {
        Fate::Ended(Ending {
            cause: Some(Cause::Timeout),
            ..
        }) => Some(after_timeout(timeout)),
        Fate::Ended(Ending {
            cause: Some(Cause::Kill),
            ..
        }) => Some(format!("killed: {}", killed.unwrap_or(Reason::Interrupted))),
        Fate::Ended(_) => None,
        Fate::Refused(message) => Some(message.clone()),
        Fate::Lost => Some("killed: its supervisor died".to_string()),
    }
}

/// What is said of an attempt that took too long.
pub(crate) fn after_timeout(timeout: Option<Duration>) -> String {
    let timeout = timeout.unwrap_or_default();
    let text = match timeout.as_millis() {
        millis if millis % 1000 != 0 => format!("{millis}ms"),
        _ if timeout.as_secs() < 60 => format!("{}s", timeout.as_secs()),
        _ => tidemill_model::time::human(timeout),
    };
    format!("killed after execution_timeout {text}")
}

/// Where the end of an attempt leaves its traces.
pub(crate) struct Traces<'a> {
    /// Its output.
    pub captured: Captured,
    /// Hides its secrets.
    pub masker: &'a Masker,
    /// The file behind `$TIDEMILL_OUTPUT`.
    pub output: &'a Path,
    /// The file behind `$TIDEMILL_REJECTS`.
    pub rejects: &'a Path,
}

/// The outcome of a shell task.
pub(crate) fn of(
    fate: Fate,
    killed: Option<Reason>,
    spec: &mut AttemptSpec,
    traces: Traces<'_>,
) -> Outcome {
    let dag = Arc::clone(&spec.dag);
    let task = dag.task(spec.task);
    let Some(shell) = super::shell_of(task) else {
        return Outcome::success();
    };
    let ending = match fate {
        Fate::Ended(ending) => ending,
        Fate::Refused(message) => return could_not_start(message),
        Fate::Lost => {
            let message = "the supervisor of the worker died";
            return Outcome::without_process(Verdict::Lost, Reason::Lost, message);
        }
    };
    let mut outcome = Outcome {
        exit_code: ending.exit.code,
        pid: Some(ending.pid),
        cpu_us: ending.exit.cpu_us,
        max_rss_kib: ending.exit.max_rss_kib,
        ..Outcome::success()
    };
    let (verdict, reason, message) = judge(&ending, killed, task, &shell, &traces.captured);
    (outcome.verdict, outcome.reason, outcome.message) = (verdict, reason, message);
    if outcome.verdict != Verdict::Success {
        let _ = std::fs::remove_file(traces.output);
        let _ = std::fs::remove_file(traces.rejects);
        return outcome;
    }
    let rejects = rejects::read(traces.rejects, traces.masker);
    match values(task, &shell, spec, traces, ending.exit.code.unwrap_or(0)) {
        Ok(values) => outcome.values = values,
        Err(message) => return bad_output(outcome, message),
    }
    match rejects {
        Ok(rejects) => outcome.rejects = rejects,
        Err(message) => return bad_output(outcome, message),
    }
    outcome
}

fn bad_output(outcome: Outcome, message: String) -> Outcome {
    Outcome {
        verdict: Verdict::Failed,
        reason: Some(Reason::BadOutput),
        message: Some(message),
        values: Vec::new(),
        ..outcome
    }
}

fn judge(
    ending: &Ending,
    killed: Option<Reason>,
    task: &Task,
    shell: &Shell,
    captured: &Captured,
) -> (Verdict, Option<Reason>, Option<String>) {
    match ending.cause {
        Some(Cause::Timeout) => {
            let message = after_timeout(task.execution_timeout);
            return (Verdict::Failed, Some(Reason::TimedOut), Some(message));
        }
        Some(Cause::Kill) => {
            let reason = killed.unwrap_or(Reason::Interrupted);
            let verdict = if reason == Reason::Lost {
                Verdict::Lost
            } else {
                Verdict::Failed
            };
            return (verdict, Some(reason), Some(format!("killed: {reason}")));
        }
        None => {}
    }
    if ending.out_of_memory {
        let limit = task.resources.memory.unwrap_or(0) >> 20;
        let message = format!("killed: it wanted more than its {limit} MiB of memory");
        return (Verdict::Failed, Some(Reason::OutOfMemory), Some(message));
    }
    let (verdict, reason, message) = by_exit(ending, task, shell, captured);
    let last = captured.last_error.as_deref();
    let is_by_memory = verdict == Verdict::Failed
        && resources::was_refused(&task.resources, last, ending.exit.max_rss_kib);
    if is_by_memory {
        let message = message.map(|message| format!("out of memory: {message}"));
        return (verdict, Some(Reason::OutOfMemory), message);
    }
    (verdict, reason, message)
}

/// By what the process itself has come to.
fn by_exit(
    ending: &Ending,
    task: &Task,
    shell: &Shell,
    captured: &Captured,
) -> (Verdict, Option<Reason>, Option<String>) {
    let Some(code) = ending.exit.code else {
        let signal = ending.exit.signal.unwrap_or(0);
        let name = signal_name(signal);
        let message = format!(
            "killed by signal {signal} ({name}){}",
            perhaps(signal, task)
        );
        return (Verdict::Failed, Some(Reason::Signal), Some(message));
    };
    let is_success = match shell.success_exit_codes.as_slice() {
        [] => code == 0,
        codes => codes.contains(&code),
    };
    if is_success {
        return (Verdict::Success, None, None);
    }
    if shell.skip_on_exit_code.contains(&code) {
        return (
            Verdict::Skipped,
            Some(Reason::SkippedItself),
            Some(format!("exit {code}")),
        );
    }
    let message = match &captured.last_error {
        // The last line of its traceback is what a person wants to read.
        Some(line) if task.operator.name() == python::KIND => quote(line).to_string(),
        Some(line) => format!("exit {code}: {}", quote(line)),
        None => format!("exit {code}"),
    };
    (Verdict::Failed, Some(Reason::ExitStatus), Some(message))
}

/// The beginning of a task's own words, for a message.
pub(crate) fn quote(line: &str) -> &str {
    let line = line.trim();
    line.char_indices()
        .nth(QUOTE_MAX)
        .map_or(line, |(at, _)| &line[..at])
}

/// Who may have sent a signal that was not ours.
fn perhaps(signal: i32, task: &Task) -> &'static str {
    let limits = &task.resources;
    match signal {
        libc::SIGKILL => ", not by Tidemill: perhaps by the kernel, for want of memory",
        libc::SIGXCPU if limits.cpu_time.is_some() => ": its resources.cpu_time is used up",
        libc::SIGXFSZ if limits.file_size.is_some() => ": a file grew over its resources.file_size",
        _ => "",
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => "another signal",
    }
}

/// What a successful task leaves: its output, what it wrote to `$TIDEMILL_OUTPUT`, `outputs`.
fn values(
    task: &Task,
    shell: &Shell,
    spec: &mut AttemptSpec,
    traces: Traces<'_>,
    exit_code: i32,
) -> Result<Vec<(String, Value)>, String> {
    let written = read_file(traces.output, "$TIDEMILL_OUTPUT")?;
    if !task.do_xcom_push {
        return Ok(Vec::new());
    }
    let mut values = Vec::new();
    let result = return_value(shell, &traces.captured)?;
    if let Some(value) = &result {
        put(&mut values, "return_value", value.clone());
    }
    if let Some(text) = written {
        parse_output(&traces.masker.text(&text), &mut values)?;
    }
    if !task.outputs.is_empty() {
        // A process that hands its output over in the file has no other result.
        let handed = values.iter().find(|(key, _)| key == "return_value");
        let result = result.or_else(|| handed.map(|(_, value)| value.clone()));
        let result = [
            ("stdout", Value::String(traces.captured.stdout)),
            ("result", result.unwrap_or(Value::Null)),
            ("exit_code", Value::from(exit_code)),
        ];
        let result = result.map(|(name, value)| (name.to_string(), value));
        spec.facts.result = Some(Arc::new(result.into_iter().collect()));
        declared(task, &spec.facts, &mut values)?;
    }
    check_sizes(&values)?;
    Ok(values)
}

fn return_value(shell: &Shell, captured: &Captured) -> Result<Option<Value>, String> {
    if captured.is_cut && matches!(shell.output, ShellOutput::Stdout | ShellOutput::Json) {
        let mode = shell.output;
        return Err(format!(
            "standard output is over {STDOUT_MAX} bytes, too much for output = \"{mode}\""
        ));
    }
    match shell.output {
        ShellOutput::None => Ok(None),
        ShellOutput::LastLine => Ok(captured.last_line.clone().map(Value::String)),
        ShellOutput::Stdout => {
            let text = captured
                .stdout
                .strip_suffix('\n')
                .unwrap_or(&captured.stdout);
            Ok(Some(Value::String(text.to_string())))
        }
        ShellOutput::Json => serde_json::from_str(&captured.stdout)
            .map(Some)
            .map_err(|err| format!("standard output is not JSON: {err}")),
    }
}

/// Takes the file behind a variable such as `$TIDEMILL_OUTPUT`. Its writer is not trusted: no links, no devices.
pub(crate) fn read_file(path: &Path, name: &str) -> Result<Option<String>, String> {
    let mut options = std::fs::File::options();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => {
            let _ = std::fs::remove_file(path);
            return Err(format!("cannot read {name}: {err}"));
        }
    };
    let _ = std::fs::remove_file(path);
    let is_plain = file
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.nlink() == 0);
    if !is_plain {
        return Err(format!("{name} is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(VALUE_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|err| format!("cannot read {name}: {err}"))?;
    if bytes.len() > VALUE_MAX {
        return Err(format!("{name} is over {VALUE_MAX} bytes"));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| format!("{name} is not UTF-8"))
}

/// Lines of `key=value`, or of one JSON object each.
pub(super) fn parse_output(text: &str, values: &mut Vec<(String, Value)>) -> Result<(), String> {
    for (at, line) in text.lines().enumerate() {
        let place = at + 1;
        if line.trim().is_empty() {
            continue;
        }
        if line.trim_start().starts_with('{') {
            let object: serde_json::Map<String, Value> = serde_json::from_str(line)
                .map_err(|err| format!("$TIDEMILL_OUTPUT, line {place} is not JSON: {err}"))?;
            for (key, value) in object {
                put(values, &key, value);
            }
            continue;
        }
        let pair = line.split_once('=').map(|(key, value)| (key.trim(), value));
        let Some((key, value)) = pair.filter(|(key, _)| is_key(key)) else {
            return Err(format!(
                "$TIDEMILL_OUTPUT, line {place} is neither key=value nor a JSON object"
            ));
        };
        put(values, key, Value::String(value.to_string()));
    }
    Ok(())
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn output_lines_are_pairs_or_objects_and_the_last_wins() {
        let mut values = Vec::new();
        parse_output(
            "a=1\n\n{\"b\": [2], \"a\": \"x=y\"}\nc = d=e\n",
            &mut values,
        )
        .unwrap();
        let want = [("a", json!("x=y")), ("b", json!([2])), ("c", json!(" d=e"))];
        let want: Vec<_> = want
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect();
        assert_eq!(values, want);
        let wrong = parse_output("a=1\nhello\n", &mut values).unwrap_err();
        assert!(wrong.contains("line 2"), "{wrong}");
    }

    #[test]
    fn an_output_file_that_is_a_link_or_a_pipe_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        assert_eq!(read_file(&path, "it"), Ok(None));
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(read_file(&path, "it").is_err());
        std::fs::write(folder.path().join("other"), "a=1").unwrap();
        std::fs::hard_link(folder.path().join("other"), &path).unwrap();
        assert!(read_file(&path, "it").is_err());
        std::fs::write(&path, "a=1").unwrap();
        assert_eq!(read_file(&path, "it"), Ok(Some("a=1".to_string())));
        assert!(!path.exists());
    }

    #[test]
    fn timeouts_are_said_in_short_words() {
        for (millis, text) in [(5_000, "5s"), (250, "250ms"), (90_000, "1m 30s")] {
            let said = after_timeout(Some(Duration::from_millis(millis)));
            assert_eq!(said, format!("killed after execution_timeout {text}"));
        }
    }
}
