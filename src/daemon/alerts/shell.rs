//! Alerts by a command on the scheduler's machine.

use super::words::Words;
use crate::daemon::definition;
use std::path::Path;
use std::process::Stdio;
use tidemill_model::VersionNo;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What of the server's environment it sees.
const INHERITED: [&str; 4] = ["PATH", "HOME", "USER", "LANG"];
/// What of the event is in its environment; all of it is on its standard input, as JSON.
const TOLD: [&str; 9] = [
    "event",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "try_number",
    "state",
    "message",
    "url",
];

/// Runs it in the DAG's folder at the run's version, in a process group of its own, which is
/// ended with the try.
pub(super) async fn run(command: &str, words: &Words, versions: &Path) -> Result<(), String> {
    let version = VersionNo(words.event["version"].as_i64().unwrap_or(0));
    let folder = definition::folder(versions, version, true);
    let mut process = Command::new("/bin/sh");
    process.args(["-eu", "-c", command]).env_clear();
    process.current_dir(if folder.is_dir() {
        folder.as_path()
    } else {
        Path::new("/")
    });
    for name in INHERITED {
        process.envs(std::env::var(name).map(|value| (name, value)));
    }
    for key in TOLD {
        let name = format!("TIDEMILL_ALERT_{}", key.to_ascii_uppercase());
        process.env(name, words.field(key).replace('\0', ""));
    }
    process.env("TIDEMILL_ALERT_TEXT", words.text.replace('\0', ""));
    process
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = process.process_group(0).kill_on_drop(true).spawn();
    let child = child
        .as_mut()
        .map_err(|err| format!("cannot start it: {err}"))?;
    let group = Group(child.id());
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(words.event.to_string().as_bytes()).await; // it need not read
    }
    let status = child.wait().await;
    drop(group);
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the command ended with {status}")),
        Err(err) => Err(format!("cannot wait for the command: {err}")),
    }
}

/// Ends what the command has left behind, be it that its time is over.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.and_then(|pid| i32::try_from(pid).ok());
        if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
