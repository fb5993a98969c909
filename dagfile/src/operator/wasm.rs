//! `wasm`.

use super::{Fault, OperatorKeys, Settings};
use crate::keys::{Key, Kind, key};

pub(crate) const WASM: OperatorKeys = OperatorKeys {
    name: "wasm",
    short: Some("module"),
    keys: KEYS,
    results: &["stdout", "exit_code"],
    only_looks: false,
    check,
};

/// The most memory a module of 32 bits can have, in bytes.
const MEMORY_MAX: u64 = 4 << 30;

#[rustfmt::skip]
const KEYS: &[Key] = &[
    key("module", Kind::File, "", "A WASI command or component of the DAG's folder."),
    key("function", Kind::Text, "", "The exported function to call; that of a command when absent."),
    key("args", Kind::Templates, "[]", "Its arguments."),
    key("stdin", Kind::Template, "", "What it reads from standard input."),
    key("stdin_file", Kind::Template, "", "The file that it reads as standard input, relative to the run's folder."),
    key("stdout_file", Kind::Template, "", "The file that its standard output goes to, relative to the run's folder; the log when absent. It appears when the module has succeeded."),
    key("dirs", Kind::Tables(DIR), "[]", "The folders that it sees."),
    key("allow_hosts", Kind::Texts, "[]", "The hosts that it may send HTTP requests to, as `name:port`."),
    key("fuel", Kind::Int(1, i64::MAX), "", "How many instructions it may take; not counted when absent, which is faster."),
    key("max_memory", Kind::Size, "\"256MiB\"", "How much memory it may have."),
    key("output", Kind::Choice(&["last_line", "stdout", "json", "none"]), "\"last_line\"", "What of its standard output becomes the task's output."),
    key("skip_on_exit_code", Kind::Int(0, 255), "99", "The exit status that means skipped; 0 for none."),
];

#[rustfmt::skip]
const DIR: &[Key] = &[
    key("host", Kind::Template, "", "Where it is on this machine, relative to the run's folder."),
    key("guest", Kind::Text, "", "What the module calls it."),
    key("mode", Kind::Choice(&["ro", "rw"]), "\"ro\"", "May it only read there, or write too?"),
];

fn check(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key, message: String, help| faults.push(Fault { key, message, help });
    if !settings.has("module") {
        fault(
            None,
            "the wasm task has no module".to_string(),
            "add `module`",
        );
    }
    if settings.has("stdin") && settings.has("stdin_file") {
        let message = "a module has one standard input: `stdin` or `stdin_file`";
        fault(
            Some("stdin_file"),
            message.to_string(),
            "remove one of them",
        );
    }
    let hosts = settings.get("allow_hosts").and_then(|list| list.as_array());
    for host in hosts.into_iter().flatten().filter_map(|host| host.as_str()) {
        if !is_host(host) {
            let message = format!("`{host}` is not the name of a host with its port");
            fault(
                Some("allow_hosts"),
                message,
                "write it as `api.example.com:443`",
            );
        }
    }
    let dirs = settings.get("dirs").and_then(|list| list.as_array());
    for dir in dirs.into_iter().flatten() {
        let absolute = dir["guest"]
            .as_str()
            .is_some_and(|guest| guest.starts_with('/'));
        if !absolute || !dir["host"].is_string() {
            let message = "a folder of a module needs `host` and an absolute `guest`";
            let help = "write { host = \"{{ run_dir }}\", guest = \"/data\", mode = \"rw\" }";
            fault(Some("dirs"), message.to_string(), help);
        }
    }
    let memory = settings.get("max_memory").and_then(|size| size.as_u64());
    if memory.is_some_and(|bytes| bytes == 0 || bytes > MEMORY_MAX) {
        let message = "a module can have at most 4GiB of memory, and needs some";
        fault(Some("max_memory"), message.to_string(), "write \"256MiB\"");
    }
    faults
}

/// `name:port`, nothing more.
fn is_host(text: &str) -> bool {
    let Some((name, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_name =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    !name.is_empty() && name.chars().all(is_name) && port.parse::<u16>().is_ok_and(|port| port > 0)
}
