//! From a task's settings to a command line, an environment and a folder.

use crate::environment::{self, Environment};
use crate::operator::python;
use crate::render::render;
use crate::resources::{self, Groups};
use crate::slot::Slot;
use crate::supervisor::message::Start;
use crate::user::User;
use crate::{AttemptSpec, WorkerOptions, sys};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use tidemill_connection::{Masker, Secret};
use tidemill_model::dag::{Shell, ShellBody};
use tidemill_model::{Operator, Task};

/// Linux takes no argument of 128 KiB or more; such a command runs from a file.
const ARGUMENT_MAX: usize = 128 * 1024 - 1;
/// Programs whose first argument after `-c COMMAND` is `$0`.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"];
/// Flags that say that the program stands in the next argument.
const INLINE_FLAGS: [&str; 2] = ["-c", "-e"];

/// An attempt that is ready to start.
pub(crate) struct Prepared {
    /// For the supervisor; its number is still open.
    pub start: Start,
    /// What the command reads.
    pub stdin: Option<String>,
    /// Hides its secrets.
    pub masker: Masker,
    /// Which of its limits cannot be held, for its log.
    pub lacks: Option<String>,
}

/// What a worker knows of its machine.
pub(crate) struct Machine {
    /// The interpreter of commands that name none.
    interpreter: Vec<String>,
    /// Where limits of whole tasks are held.
    groups: Groups,
}

impl Machine {
    /// Looks around. It may move this process to another control group.
    pub(crate) fn look() -> Machine {
        Machine {
            interpreter: default_interpreter(),
            groups: Groups::open(),
        }
    }
}

/// The interpreter of commands that name none.
fn default_interpreter() -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    match search("bash", &environment::worker_path(), Path::new("/")) {
        Some(_) => words(&["bash", "-euo", "pipefail", "-c"]),
        None => words(&["sh", "-eu", "-c"]),
    }
}

/// Makes the folder of a run. It belongs to the user of the task that makes it: where all tasks of
/// a run are one user's, they can all write.
fn make_run_dir(path: &Path, user: Option<&User>) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)?;
    user.map_or(Ok(()), |user| sys::give_to(path, &user.ids))
}

/// Does anything of the task name the run's folder? A script may, without our seeing it.
fn may_use_run_dir(task: &Task, shell: &Shell) -> bool {
    let names_it = |text: &str| text.contains("RUN_DIR") || text.contains("run_dir");
    let body = match &shell.body {
        ShellBody::Command(text) => names_it(text),
        ShellBody::Script(_) => true,
    };
    body || shell.args.iter().any(|arg| names_it(arg))
        || shell.stdin.as_deref().is_some_and(names_it)
        || task.env.iter().any(|(_, value)| names_it(value))
}

/// Prepares a shell task.
///
/// # Errors
/// One line for people: which setting cannot be used, and why.
pub(crate) fn prepare(
    spec: &AttemptSpec,
    shell: &Shell,
    slot: &mut Slot,
    user: Option<User>,
    options: &WorkerOptions,
    machine: &Machine,
) -> Result<Prepared, String> {
    let task = spec.dag.task(spec.task);
    let facts = &spec.facts;
    if may_use_run_dir(task, shell) {
        make_run_dir(&spec.run_dir, user.as_ref()).map_err(|err| {
            format!(
                "cannot make the run's folder {}: {err}",
                spec.run_dir.display()
            )
        })?;
    }
    let mut env = environment::base(spec, task, slot, user.as_ref(), &options.env_passthrough);
    for (name, text) in &task.env {
        let value = render(text, facts).map_err(|err| format!("env.{name}: {err}"))?;
        env.insert(name.clone(), value.into_owned());
    }
    let given = add_secrets(&mut env, spec, slot)?;
    let cwd = match &task.cwd {
        Some(cwd) => spec.dag_dir.join(cwd),
        None => slot.work.clone(),
    };
    let stdin = stdin(spec, shell)?;
    let command = command(spec, shell, slot, &env, &machine.interpreter)?;
    let ids = user.as_ref().map(|user| &user.ids);
    let name = format!("{}-{}", std::process::id(), spec.attempt);
    let limits = machine
        .groups
        .limits(&task.resources, &name, resources::is_root(ids))?;
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let start = Start {
        id: 0,
        attempt: spec.attempt.to_string(),
        path: text_of(&command.program)?,
        argv: command.argv,
        env: env
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        cwd: text_of(&cwd)?,
        group: limits.group,
        limits: limits.each,
        user: user.map(|user| user.ids),
        timeout_ms: task.execution_timeout.map(millis),
        grace_ms: millis(options.kill_grace),
    };
    if start
        .argv
        .iter()
        .chain(&start.env)
        .any(|text| text.contains('\0'))
    {
        return Err("a NUL byte in the command, its arguments or its environment".to_string());
    }
    Ok(Prepared {
        start,
        stdin,
        masker: masker(spec, given),
        lacks: limits.lacks,
    })
}

/// What the process reads.
fn stdin(spec: &AttemptSpec, shell: &Shell) -> Result<Option<String>, String> {
    if let Operator::InProcess(work) = &spec.dag.task(spec.task).operator {
        return python::input(spec, work).map(Some);
    }
    let text = shell.stdin.as_ref();
    let text = text.map(|text| render(text, &spec.facts).map(Cow::into_owned));
    text.transpose().map_err(|err| format!("stdin: {err}"))
}

fn text_of(path: &Path) -> Result<String, String> {
    let text = path
        .to_str()
        .ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_string())
}

/// Hides what the task was given as a secret, and what nobody may see of what it uses.
fn masker(spec: &AttemptSpec, given: Vec<Secret>) -> Masker {
    let mut hidden = spec.facts.found.hidden();
    hidden.extend(given);
    Masker::new(&hidden)
}

/// Puts the task's secrets into its environment, or into files of its own; returns the values.
fn add_secrets(
    env: &mut Environment,
    spec: &AttemptSpec,
    slot: &mut Slot,
) -> Result<Vec<Secret>, String> {
    let mut values = Vec::new();
    for secret in &spec.dag.task(spec.task).secrets {
        let value = spec.facts.found.secret(&secret.from)?;
        if secret.as_file {
            let path = slot
                .write_file(&format!("secret-{}", secret.env), value.expose())
                .map_err(|err| {
                    format!("cannot write the file of secret `{}`: {err}", secret.from)
                })?;
            env.insert(secret.env.clone(), path.display().to_string());
        } else {
            env.insert(secret.env.clone(), value.expose().to_string());
        }
        values.push(value);
    }
    Ok(values)
}

struct CommandLine {
    program: PathBuf,
    argv: Vec<String>,
}

/// A shebang wins, then the task's interpreter, then the default.
fn command(
    spec: &AttemptSpec,
    shell: &Shell,
    slot: &mut Slot,
    env: &Environment,
    default_interpreter: &[String],
) -> Result<CommandLine, String> {
    let facts = &spec.facts;
    let hidden = facts.found.masker();
    let mut args = Vec::new();
    for (at, arg) in shell.args.iter().enumerate() {
        let arg = render(arg, facts).map_err(|err| format!("args[{at}]: {err}"))?;
        if hidden.hides(&arg) {
            return Err(format!(
                "args[{at}] holds a secret, and everybody on the machine can read arguments: \
                 give it by `secrets`"
            ));
        }
        args.push(arg.into_owned());
    }
    let interpreter = shell.interpreter.as_deref().unwrap_or(default_interpreter);
    let [program, ..] = interpreter else {
        return Err("`interpreter` is empty".to_string());
    };
    let mut argv;
    match &shell.body {
        ShellBody::Script(name) => {
            let path = script_path(&spec.dag_dir, name)?;
            let start = first_bytes(&path)
                .map_err(|err| format!("cannot read the script {}: {err}", path.display()))?;
            argv = shebang(&start).unwrap_or_else(|| file_interpreter(interpreter));
            argv.push(text_of(&path)?);
        }
        ShellBody::Command(text) => {
            let text = render(text, facts).map_err(|err| format!("shell: {err}"))?;
            let shebang = shebang(&text);
            // Everybody on the machine can read arguments, so a secret is not among them.
            if shebang.is_some() || text.len() > ARGUMENT_MAX || hidden.hides(&text) {
                let path = slot.write_file("command", &text);
                let path = path.map_err(|err| format!("cannot write the command's file: {err}"))?;
                argv = shebang.unwrap_or_else(|| file_interpreter(interpreter));
                argv.push(text_of(&path)?);
            } else {
                argv = interpreter.to_vec();
                argv.push(text.into_owned());
                if SHELLS.contains(&program.rsplit('/').next().unwrap_or_default()) {
                    argv.push(facts.task_id.clone());
                }
            }
        }
    }
    argv.append(&mut args);
    let name = argv.first().cloned().unwrap_or_default();
    let path = env.get("PATH").map_or("", String::as_str);
    let program = search(&name, path, &spec.dag_dir)
        .ok_or_else(|| format!("cannot find the program `{name}`; PATH is {path}"))?;
    Ok(CommandLine { program, argv })
}

/// The interpreter for a program in a file instead of an argument.
fn file_interpreter(interpreter: &[String]) -> Vec<String> {
    match interpreter {
        [rest @ .., flag] if INLINE_FLAGS.contains(&flag.as_str()) => rest.to_vec(),
        all => all.to_vec(),
    }
}

/// Reads `#!PROGRAM [ARGUMENT]` as the kernel does: all after the program is one argument.
fn shebang(text: &str) -> Option<Vec<String>> {
    let line = text.strip_prefix("#!")?.lines().next()?.trim();
    let (program, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if program.is_empty() {
        return None;
    }
    let words = [program, argument.trim_start()];
    Some(
        words
            .iter()
            .filter(|word| !word.is_empty())
            .map(|word| word.to_string())
            .collect(),
    )
}

fn script_path(dag_dir: &Path, name: &str) -> Result<PathBuf, String> {
    let is_inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_inside {
        return Err(format!("the script `{name}` is not in the DAG's folder"));
    }
    Ok(dag_dir.join(name))
}

fn first_bytes(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Finds a program: by its path, relative to the DAG's folder, or in `path`.
fn search(name: &str, path: &str, dag_dir: &Path) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(dag_dir.join(name)).filter(is_program);
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders
        .map(|folder| Path::new(folder).join(name))
        .find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shebang_is_read_as_the_kernel_reads_it() {
        let read = |text: &str| shebang(text).map(|words| words.join("|"));
        assert_eq!(read("#!/bin/sh\nls").as_deref(), Some("/bin/sh"));
        assert_eq!(
            read("#! /usr/bin/env  -S a b \nls").as_deref(),
            Some("/usr/bin/env|-S a b")
        );
        assert_eq!(read("#!\nls"), None);
        assert_eq!(read("ls"), None);
    }

    #[test]
    fn a_script_outside_the_dag_folder_is_refused() {
        let dag_dir = Path::new("/dags/x");
        assert_eq!(
            script_path(dag_dir, "bin/a.sh"),
            Ok(PathBuf::from("/dags/x/bin/a.sh"))
        );
        assert!(script_path(dag_dir, "../a.sh").is_err());
        assert!(script_path(dag_dir, "/a.sh").is_err());
    }
}
