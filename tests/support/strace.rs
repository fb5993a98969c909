//! What the kernel sees of a server.

use super::waiting::wait_for;
use super::{PATIENCE, Place, processes, told};
use rustix::process::Signal;
use std::process::{Child, Command, Stdio};

/// A traced server; both end with the value.
struct Traced<'a> {
    strace: Child,
    place: &'a Place,
}

impl Drop for Traced<'_> {
    fn drop(&mut self) {
        if !matches!(self.strace.try_wait(), Ok(Some(_))) {
            if let Some(pid) = self
                .place
                .ready(None)
                .and_then(|ready| ready["pid"].as_u64())
            {
                let _ = rustix::process::kill_process(processes::pid(pid as u32), Signal::KILL);
            }
            let _ = self.strace.kill();
        }
        let _ = self.strace.wait();
    }
}

/// Runs a DAG to its successful end on a server under `strace -f` with these options, and gives
/// the trace of all that the server has done.
pub fn of_a_run(place: &Place, options: &[&str], dag: &str) -> String {
    let strace = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(
        strace.is_ok_and(|status| status.success()),
        "this test needs strace: `apt-get install strace`, or run `make test`"
    );
    let file = place.folder().join("trace");
    let plain = place.serve_command();
    let clean = place.tidemill();
    let log = std::fs::File::create(place.folder().join("serve.log")).unwrap();
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e", "signal=none"]);
    traced
        .args(options)
        .arg("-o")
        .arg(&file)
        .arg(plain.get_program())
        .args(plain.get_args());
    traced.env_clear().envs(
        clean
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    traced
        .current_dir(place.folder())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut traced = Traced {
        strace: traced.spawn().unwrap(),
        place,
    };
    wait_for("the traced server", PATIENCE, || {
        assert!(
            traced.strace.try_wait().unwrap().is_none(),
            "the traced server ended:\n{}",
            place.serve_log()
        );
        place.ready(None)
    });
    wait_for("the DAG", PATIENCE, || {
        place
            .call(&["dags", "show", dag])
            .status
            .success()
            .then_some(())
    });
    let run = place.trigger(dag, &[]);
    let waited = place.call(&["runs", "wait", &format!("{dag}/{run}")]);
    assert!(waited.status.success(), "{}", told(&waited));
    let server = place.ready(None).unwrap()["pid"].as_u64().unwrap();
    rustix::process::kill_process(processes::pid(server as u32), Signal::TERM).unwrap();
    wait_for("the traced server to end", PATIENCE, || {
        traced.strace.try_wait().unwrap()
    });
    std::fs::read_to_string(file).unwrap()
}
