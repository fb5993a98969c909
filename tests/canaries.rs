//! Secrets that are easy to recognise are put in at every door, tasks do their worst to spread
//! them, and then everything that the program wrote and answers is searched for them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use support::hook::{call, first_call, signed};
use support::session::Session;
use support::waiting::wait_for;
use support::{PATIENCE, Place, told};

/// One for each door: the environment, a file, the database, the key of a webhook. They hold what
/// encodings change.
const OF_ENV: &str = r#"c4n-ENV-"q'&<%/+é=Zx71"#;
const OF_FILE: &str = r#"c4n-FILE-"q'&<%/+é=Zx72"#;
const OF_STORE: &str = r#"c4n-STORE-"q'&<%/+é=Zx73"#;
const OF_HOOK: &str = r#"c4n-HOOK-"q'&<%/+é=Zx75"#;
/// What a webhook is sent is the run's own: it is kept with the run, and told nowhere by itself.
const OF_BODY: &str = "c4n-BODY-Zx76";
const OF_EXTRA: &str = r#"c4n-EXTRA-"q'&<%/+é=Zx74"#;

/// Writes what it is given in every way it can think of.
const SPREAD: &str = r#"
import base64, html, json, os, shlex, sys, time, urllib.parse
def say(text, to=sys.stdout):
    to.write(text + "\n"); to.flush()
def forms(s):
    b = s.encode()
    yield from (s, repr(s), json.dumps(s), json.dumps(s, ensure_ascii=False), html.escape(s), shlex.quote(s))
    yield from (urllib.parse.quote(s), urllib.parse.quote(s, safe=""), urllib.parse.quote_plus(s), b.hex(), b.hex().upper())
    for before in (b"", b"u", b"us", b"user:"):
        yield base64.b64encode(before + b + b" tail").decode()
        yield base64.urlsafe_b64encode(before + b + b" tail").decode()
def main():
    secrets = [v for k, v in os.environ.items() if k.startswith("S_")] + [open(os.environ["F_FILE"]).read()]
    for s in secrets:
        for form in forms(s):
            say(form); say("x" + form + "y", sys.stderr)
        for sign in s:
            sys.stdout.write(sign); sys.stdout.flush(); time.sleep(0.001)
        say("")
    with open(os.environ["TIDEMILL_OUTPUT"], "a") as out:
        out.write(json.dumps({"k " + secrets[0]: secrets, "plain": secrets[-1]}) + "\n")
    for name in sorted(os.environ): say(name + "=" + os.environ[name])
    raise ValueError("it was " + " and ".join(secrets))
if __name__ == "__main__":
    try: main()
    except ValueError:
        if os.environ.get("S_FAIL") is None: sys.exit(0)
        raise
"#;

const DAG: &str = r#"
[dag]
on_failure = [{ webhook = "http://127.0.0.1:9/" }]
[tasks.leak]
secrets = { S_ENV = "conn.of_env.password", S_STORE = "conn.of_store.password", S_EXTRA = "conn.of_store.extra.session_token", F_FILE = { from = "var.of_file_token", as = "file" }, S_FAIL = "conn.of_env.uri" }
env = { HOST = "{{ conn.of_store.host }}", TOKEN = "{{ var.value.of_file_token }}" }
on_failure = [{ shell = 'cat > "$HOME/told"; printf "%s" "$TIDEMILL_ALERT_TEXT" >> "$HOME/told"' }]
python = "spread.py"
[tasks.keep]
secrets = { S_ENV = "conn.of_env.password", F_FILE = { from = "var.of_file_token", as = "file" } }
outputs = { token = "{{ var.value.of_file_token }}", extra = "{{ conn.of_store.extra_dejson }}" }
python = "spread.py"
[tasks.argv]
shell = ''': '{{ var.value.of_file_token | b64encode }}'; echo $$ > "$HOME/argv.new"; mv "$HOME/argv.new" "$HOME/argv"; while ! test -e "$HOME/go"; do sleep 0.02; done'''
[tasks.many]
expand = { x = ["{{ var.value.of_file_token }}", "b"] }
map_index_template = "{{ map.x }} {{ var.value.of_file_token }}"
shell = "true"
[tasks.choose]
branch = "{{ var.value.of_file_token }}"
[tasks.after]
depends_on = ["choose"]
shell = "true"
[tasks.args.shell]
command = "true"
args = ["{{ var.value.of_file_token }}"]
[tasks.wrong]
run_if = "{{ var.value.of_file_token }}"
shell = "true"
"#;

const HOOKED: &str = r#"
[triggers.calls.webhook]
secret = "of_hook"
run_if = "{{ trigger.json.token | length > 3 }}"
[tasks]
see = "true"
"#;

/// Calls the webhook: once as it wants it, once with a signature that is none, once with a body
/// that it cannot read. Gives the run.
fn call_the_webhook(server: &support::Server) -> String {
    let path = "/hooks/hooked/calls";
    let body = serde_json::json!({ "token": OF_BODY }).to_string();
    let good = signed(OF_HOOK, "one", 0, &body);
    let (status, answer) = first_call(server, path, &good, &body);
    assert_eq!(status, 200, "{answer}");
    let mut wrong = signed(OF_HOOK, "two", 0, &body);
    wrong[2].1 = "v1,AAAA".to_string();
    assert_eq!(call(server, path, &wrong, &body).0, 401);
    let odd = format!("{OF_BODY} is no JSON");
    let (status, refused) = call(server, path, &signed(OF_HOOK, "three", 0, &odd), &odd);
    assert_eq!(status, 422, "{refused}");
    assert!(!refused.to_string().contains("c4n-"), "{refused}");
    let run = answer["dag_run_id"].as_str().unwrap().to_string();
    assert_eq!(server.wait_for_end("hooked", &run)["state"], "success");
    run
}

/// Every form of a canary that must not be found anywhere, made by another program than ours.
fn forms() -> Vec<Vec<u8>> {
    let script = r#"
import base64, html, json, shlex, sys, urllib.parse
for s in json.load(sys.stdin):
    b = s.encode()
    found = {s, json.dumps(s)[1:-1], json.dumps(s, ensure_ascii=False)[1:-1], html.escape(s), shlex.quote(s)[1:-1],
             urllib.parse.quote(s), urllib.parse.quote(s, safe=""), urllib.parse.quote_plus(s), b.hex(), b.hex().upper(),
             s.replace("&", "&#38;").replace("<", "&#60;").replace(">", "&#62;").replace('"', "&#34;").replace("'", "&#39;")}
    for n in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * n + b + b"\0\0\0").decode()
            found.add(text[4 if n else 0:(n + len(b)) * 4 // 3 - 1])
    for form in sorted(found): print(form)
"#;
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let all = serde_json::json!([OF_ENV, OF_FILE, OF_STORE, OF_EXTRA, OF_HOOK]).to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(all.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let forms: Vec<Vec<u8>> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let forms: Vec<Vec<u8>> = forms.into_iter().filter(|form| !form.is_empty()).collect();
    assert!(forms.len() >= 5 * 12, "{}", forms.len());
    forms
}

fn search(what: &str, bytes: &[u8], forms: &[Vec<u8>], found: &mut Vec<String>) {
    for form in forms {
        if let Some(at) = bytes.windows(form.len()).position(|part| part == &form[..]) {
            let from = at.saturating_sub(60);
            let around =
                String::from_utf8_lossy(&bytes[from..(at + form.len() + 20).min(bytes.len())]);
            found.push(format!(
                "{what}: {}\n    in …{around}…",
                String::from_utf8_lossy(form)
            ));
        }
    }
}

fn search_folder(folder: &Path, forms: &[Vec<u8>], found: &mut Vec<String>) -> usize {
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        search(
            &path.display().to_string(),
            path.as_os_str().as_encoded_bytes(),
            forms,
            found,
        );
        if path.is_dir() && !path.is_symlink() {
            n_files += search_folder(&path, forms, found);
        } else if path.is_file() {
            n_files += 1;
            search(
                &path.display().to_string(),
                &std::fs::read(&path).unwrap(),
                forms,
                found,
            );
        }
    }
    n_files
}

fn uri(password: &str) -> String {
    let encode = |byte: u8| format!("%{byte:02X}");
    let quoted: String = password.bytes().map(encode).collect();
    format!("postgres://me:{quoted}@db.example/x")
}

fn set_up(place: &Place) -> support::Server {
    let secrets = place.folder().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("of_file_token"), OF_FILE).unwrap();
    std::fs::write(secrets.join("of_hook"), OF_HOOK).unwrap();
    place.write_dag("hooked.toml", HOOKED);
    std::fs::create_dir(place.dags().join("canaries")).unwrap();
    std::fs::write(place.dags().join("canaries/spread.py"), SPREAD).unwrap();
    std::fs::write(place.dags().join("canaries/dag.toml"), DAG).unwrap();
    std::fs::create_dir(place.folder().join("hut")).unwrap();
    let mut command = place.serve_command();
    command
        .env("HOME", place.folder().join("hut"))
        .env("TIDEMILL_CONN_OF_ENV", uri(OF_ENV))
        .env("TIDEMILL_SECRETS_DIR", &secrets)
        .env("TIDEMILL_LOG", "debug")
        .env("RUST_LOG", "debug");
    let server = place.serve_with(command);
    let extra = serde_json::json!({"session_token": OF_EXTRA}).to_string();
    let body = serde_json::json!({
        "connection_id": "of_store", "conn_type": "postgres", "host": "db.example",
        "password": OF_STORE, "extra": extra,
    });
    let (status, _) = server.send("POST", "/api/v2/connections", &body);
    assert_eq!(status, 201);
    server
}

#[test]
fn no_canary_is_found_in_anything_that_was_written_or_answered() {
    let place = Place::new();
    let forms = forms();
    let server = set_up(&place);
    server.wait_for_dag("canaries");
    let hooked = call_the_webhook(&server);
    let told_forms = [&forms[..], &[OF_BODY.as_bytes().to_vec()]].concat();
    let run = place.trigger("canaries", &[]);
    let hut = place.folder().join("hut");
    wait_for("the task that shows its arguments", PATIENCE, || {
        hut.join("argv").exists().then_some(())
    });
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(argv) = std::fs::read(entry.path().join("cmdline")) {
            search(
                &format!("argv of {:?}", entry.file_name()),
                &argv,
                &forms,
                &mut found,
            );
        }
    }
    std::fs::write(hut.join("go"), "").unwrap();
    server.wait_for_end("canaries", &run);
    wait_for("the alert", PATIENCE, || {
        std::fs::metadata(hut.join("told")).is_ok().then_some(())
    });
    let tasks = server.tasks("canaries", &run);
    let state =
        |name: &str| tasks.iter().find(|task| task["task_id"] == name).unwrap()["state"].clone();
    for (task, want) in [
        ("leak", "failed"),
        ("keep", "success"),
        ("argv", "success"),
        ("args", "failed"),
        ("wrong", "failed"),
    ] {
        assert_eq!(state(task), want, "{task}: {tasks:?}");
    }
    let id = support::http::escape(&run);
    let base = format!("/api/v2/dags/canaries/dagRuns/{id}");
    let mut answers = vec![
        format!("{base}"),
        format!("{base}/taskInstances?limit=100"),
        "/api/v2/connections".to_string(),
        "/api/v2/connections/of_store".to_string(),
        "/api/v2/variables".to_string(),
        "/api/v2/dagSources/canaries".to_string(),
        "/api/v2/dags/canaries/tasks".to_string(),
        "/api/v2/importErrors".to_string(),
    ];
    for task in ["leak", "keep", "argv", "args", "wrong", "choose"] {
        let task = format!("{base}/taskInstances/{task}");
        answers
            .extend(["", "/logs/1", "/xcomEntries", "/tries"].map(|part| format!("{task}{part}")));
    }
    answers.push(format!("{base}/taskInstances/keep/xcomEntries/token"));
    answers.push(format!("{base}/taskInstances/keep/xcomEntries/extra"));
    answers.push(format!("{base}/taskInstances/many/listMapped"));
    let of_hook = format!(
        "/api/v2/dags/hooked/dagRuns/{}",
        support::http::escape(&hooked)
    );
    answers.push(format!("{of_hook}/taskInstances/see"));
    answers.push(of_hook);
    answers.push("/api/v2/dags/hooked/dagRuns".to_string());
    answers.push("/api/tidemill/v1/triggers".to_string());
    for path in &answers {
        let (_, body) = server.get(path);
        search(path, body.to_string().as_bytes(), &told_forms, &mut found);
    }
    let session = Session::of(&place, &server);
    let pages = [
        "/dags".to_string(),
        "/runs".to_string(),
        "/dags/canaries".to_string(),
        "/admin/connections".to_string(),
        "/admin/variables".to_string(),
        "/admin/export/connections".to_string(),
        "/admin/export/variables".to_string(),
        "/streams".to_string(),
        format!("/dags/hooked/runs/{}", support::http::escape(&hooked)),
        format!("/dags/canaries/runs/{id}"),
        "/dags/canaries/code".to_string(),
        format!("/dags/canaries/runs/{id}/tasks/leak"),
        format!("/dags/canaries/runs/{id}/tasks/keep"),
        format!("/dags/canaries/runs/{id}/tasks/many?map_index=0"),
    ];
    for path in &pages {
        let text = session.get(path);
        assert!(
            text.starts_with("HTTP/1.1 200"),
            "{path}: {}",
            &text[..200.min(text.len())]
        );
        search(path, text.as_bytes(), &told_forms, &mut found);
    }
    let reference = format!("canaries/{run}");
    for args in [
        &["runs", "show", &reference][..],
        &["runs", "list", "-o", "json"],
        &["tasks", "logs", &reference, "leak"],
        &["tasks", "list", &reference],
        &["connections", "list"],
        &["connections", "get", "of_store", "-o", "json"],
        &["variables", "list"],
        &["db", "export"],
    ] {
        let output = place.call(args);
        search(
            &args.join(" "),
            told(&output).as_bytes(),
            &forms,
            &mut found,
        );
    }
    drop(server);
    let n_files = search_folder(&place.home(), &forms, &mut found);
    assert!(n_files > 8, "{n_files}");
    search_folder(&place.home().join("logs"), &told_forms, &mut found);
    search(
        "serve.log",
        place.serve_log().as_bytes(),
        &told_forms,
        &mut found,
    );
    search_folder(&hut, &forms, &mut found);
    assert!(
        found.is_empty(),
        "{} leaks:\n{}",
        found.len(),
        found.join("\n")
    );
    // The search itself can find one: the secrets folder is where they are.
    search_folder(&place.folder().join("secrets"), &forms, &mut found);
    assert!(!found.is_empty());
}
