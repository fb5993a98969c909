//! What the kernel saw: no task is forked before the sync of the transaction that claimed it has
//! returned. The same check on a server whose syncs are taken out must find fault.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::BTreeMap;
use support::Place;

const LINKS: usize = 6;

/// A chain: when one task is forked, nothing else is going on, so the last sync before it can
/// only be that of the pass that claimed it.
fn chain() -> String {
    let mut text = String::new();
    for number in 0..LINKS {
        let upstream = if number == 0 {
            String::new()
        } else {
            format!("'t{}'", number - 1)
        };
        text.push_str(&format!("[tasks.t{number}]\ndepends_on = [{upstream}]\n[tasks.t{number}.shell]\ninterpreter = ['/bin/sh', '-c']\ncommand = ': link-{number}-'\n"));
    }
    text
}

/// Runs the chain under strace and gives the trace.
fn trace(inject: &[&str]) -> String {
    let place = Place::new();
    place.write_dag("chain.toml", &chain());
    let calls = "trace=pwrite64,fdatasync,fsync,execve,clone,clone3,vfork,fork,exit_group";
    let options = [&["-y", "-s", "200", "-e", calls], inject].concat();
    support::strace::of_a_run(&place, &options, "chain")
}

/// Reads a trace line by line and remembers what matters.
#[derive(Default)]
struct Reader {
    /// Writes to the store's log that no finished sync has covered, and when they were seen.
    unsynced: Vec<usize>,
    /// When the last real sync of the log returned.
    synced: Option<usize>,
    /// Calls that have begun and not returned, by process.
    begun: BTreeMap<String, String>,
    /// Syncs in flight by process: what they cover.
    covers: BTreeMap<String, usize>,
    /// When the process before was started.
    last_start: usize,
    /// The last fork: when it began, with how many writes unsynced, and the last sync before it.
    fork: Option<(usize, usize, Option<usize>)>,
    /// Links that were started, and what is wrong with them.
    links: BTreeMap<usize, Vec<String>>,
}

impl Reader {
    fn read(text: &str) -> Reader {
        let mut reader = Reader::default();
        for (at, line) in text.lines().enumerate() {
            reader.line(at, line);
        }
        reader
    }

    fn line(&mut self, at: usize, line: &str) {
        let Some((pid, call)) = line.split_once(' ') else {
            return;
        };
        let call = call.trim_start();
        if let Some(rest) = call.strip_prefix("<... ") {
            let begun = self.begun.remove(pid).unwrap_or_default();
            if rest.contains("resumed>") {
                self.end(at, pid, &begun, rest);
            }
            return;
        }
        self.begin(at, pid, call);
        if call.contains("<unfinished ...>") {
            self.begun.insert(pid.to_string(), call.to_string());
        } else {
            self.end(at, pid, call, call);
        }
    }

    fn begin(&mut self, at: usize, pid: &str, call: &str) {
        if is_of_log(call, &["pwrite64("]) {
            self.unsynced.push(at);
        } else if is_of_log(call, &["fdatasync(", "fsync("]) {
            self.covers.insert(pid.to_string(), at);
        } else if ["clone(", "clone3(", "vfork(", "fork("]
            .iter()
            .any(|name| call.starts_with(name))
            && !call.contains("CLONE_THREAD")
        {
            self.fork = Some((at, self.unsynced.len(), self.synced));
        } else if call.starts_with("execve(") && call.contains(": link-") {
            self.start(at, call);
        }
    }

    fn end(&mut self, at: usize, pid: &str, begun: &str, ended: &str) {
        if is_of_log(begun, &["fdatasync(", "fsync("])
            && ended.contains("= 0")
            && !ended.contains("INJECTED")
        {
            let from = self.covers.remove(pid).unwrap_or(at);
            self.unsynced.retain(|write| *write > from);
            self.synced = Some(at);
        }
    }

    fn start(&mut self, at: usize, call: &str) {
        let number = call
            .split("link-")
            .nth(1)
            .and_then(|rest| rest.split('-').next())
            .and_then(|text| text.parse().ok());
        let number: usize = number.unwrap_or_else(|| panic!("no number in {call}"));
        let faults = self.links.entry(number).or_default();
        match self.fork {
            None => faults.push("it was started without a fork".to_string()),
            Some((fork, unsynced, synced)) => {
                if unsynced > 0 {
                    faults.push(format!(
                        "it was forked at line {fork} with {unsynced} writes not synced"
                    ));
                }
                if synced.is_none_or(|synced| synced < self.last_start) {
                    faults.push(format!(
                        "nothing was synced between line {} and its fork at line {fork}",
                        self.last_start
                    ));
                }
            }
        }
        self.last_start = at;
    }

    fn faults(&self) -> Vec<String> {
        self.links
            .iter()
            .flat_map(|(number, faults)| {
                faults
                    .iter()
                    .map(move |fault| format!("t{number}: {fault}"))
            })
            .collect()
    }
}

fn is_of_log(call: &str, names: &[&str]) -> bool {
    names.iter().any(|name| call.starts_with(name)) && call.contains("tidemill.db-wal>")
}

#[test]
fn no_task_is_forked_before_the_sync_that_made_its_claim_durable() {
    let reader = Reader::read(&trace(&[]));
    assert_eq!(
        reader.links.len(),
        LINKS,
        "links seen: {:?}",
        reader.links.keys()
    );
    assert!(reader.faults().is_empty(), "{:#?}", reader.faults());
}

#[test]
fn a_server_whose_syncs_are_taken_out_is_found_out() {
    let reader = Reader::read(&trace(&["-e", "inject=fdatasync,fsync:retval=0"]));
    assert_eq!(
        reader.links.len(),
        LINKS,
        "links seen: {:?}",
        reader.links.keys()
    );
    assert!(reader.faults().len() >= LINKS, "{:#?}", reader.faults());
}

#[test]
fn a_fork_before_the_end_of_the_sync_is_found_out() {
    let good = "1 pwrite64(9</x/tidemill.db-wal>, \"\", 1, 0) = 1\n1 fdatasync(9</x/tidemill.db-wal>) = 0\n2 vfork() = 3\n3 execve(\"/bin/sh\", [\"sh\", \"-c\", \": link-0-\"], 0x1) = 0\n";
    assert_eq!(Reader::read(good).faults(), Vec::<String>::new());
    let bad = "1 pwrite64(9</x/tidemill.db-wal>, \"\", 1, 0) = 1\n1 fdatasync(9</x/tidemill.db-wal> <unfinished ...>\n2 vfork( <unfinished ...>\n3 execve(\"/bin/sh\", [\"sh\", \"-c\", \": link-0-\"], 0x1) = 0\n1 <... fdatasync resumed>) = 0\n";
    assert_eq!(Reader::read(bad).faults().len(), 2);
}
