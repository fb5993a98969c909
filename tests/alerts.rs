//! Alerts of a server, on real receivers: a web server, a mail server, a command.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use support::mail::{Cover, SECURED, mails};
use support::tls::shows;
use support::waiting::wait_for;
use support::{PATIENCE, Place};
use tidemill_store_conformance::server::Certificate;

/// A web server that answers with these statuses in turn, the last one for ever, and hands on what
/// it was sent.
fn web(statuses: &'static [u16]) -> (u16, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let status = statuses[n.min(statuses.len() - 1)];
            let request = answer(stream.unwrap(), status);
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (port, received)
}

fn answer(stream: TcpStream, status: u16) -> (String, Value) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut stream = stream;
    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

fn next<T>(received: &Receiver<T>) -> T {
    received.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_failed_task_is_told_by_web_mail_and_command_and_a_refused_alert_is_tried_again() {
    let place = Place::new();
    let (hook, hooked) = web(&[503, 200]);
    let (slack, slacked) = web(&[200]);
    let (smtp, mailed) = mails(Cover::None, None);
    let paged = place.folder().join("paged");
    place.write_dag(
        "told.toml",
        &format!(
            r##"
[dag]
on_failure = [{{ webhook = "http://127.0.0.1:{hook}/run", json = {{ what = "{{{{ dag.dag_id }}}} {{{{ state }}}}", why = "{{{{ exception }}}}" }} }}]
[tasks.load]
shell = "echo no route >&2; exit 2"
on_failure = [
    {{ slack = "#ops", text = "{{{{ task.task_id }}}}: {{{{ exception }}}}" }},
    {{ email = ["ops@a.example", "b@b.example"] }},
    {{ shell = "cat > {paged}.new; printf '%s' \"$TIDEMILL_ALERT_MESSAGE\" >> {paged}.new; mv {paged}.new {paged}" }},
]
"##,
            paged = paged.display()
        ),
    );
    let mut command = place.serve_command();
    let slack = format!("slack://:s3cr3t-word@127.0.0.1:{slack}/http");
    command.env("AIRFLOW_CONN_SLACK_DEFAULT", slack);
    let extra = "%7B%22disable_ssl%22%3Atrue%2C%22disable_tls%22%3Atrue%2C%22from_email%22%3A%22tidemill%40a.example%22%7D";
    let smtp = format!("smtp://127.0.0.1:{smtp}/?__extra__={extra}");
    command.env("TIDEMILL_CONN_SMTP_DEFAULT", smtp);
    let server = place.serve_with(command);
    server.wait_for_dag("told");
    let run = place.trigger("told", &[]);
    assert_eq!(server.wait_for_end("told", &run)["state"], "failed");
    let (head, body) = next(&slacked);
    assert!(head.starts_with("POST /s3cr3t-word "), "{head}");
    assert_eq!(body["channel"], "#ops");
    assert_eq!(body["text"], "load: exit 2: no route");
    let mail = next(&mailed);
    for part in [
        "RCPT TO:<ops@a.example>",
        "RCPT TO:<b@b.example>",
        "From: tidemill@a.example",
        "Subject: told: task load failed in run",
        "exit 2: no route",
    ] {
        assert!(mail.contains(part), "{part} is not in {mail}");
    }
    let first = next(&hooked);
    let second = next(&hooked);
    assert_eq!(first.1, second.1, "the first one was refused");
    assert_eq!(second.1["what"], "told failed");
    assert_eq!(second.1["why"], "task load: exit 2: no route");
    let paged = wait_for("the command", PATIENCE, || {
        std::fs::read_to_string(&paged).ok()
    });
    assert!(
        paged.contains(r#""dag_id":"told""#) && paged.ends_with("exit 2: no route"),
        "{paged}"
    );
}

#[test]
fn a_mail_goes_by_tls_with_its_login_and_to_nobody_whose_certificate_is_not_trusted() {
    const LOGIN: (&str, &str) = ("me@a.example", "hunter2-mail");
    let place = Place::new();
    let (trusted, other) = (Certificate::new(), Certificate::new());
    let (wrapped, by_wrapped) = mails(Cover::Wrapped(shows(&trusted)), Some(LOGIN));
    let (started, by_started) = mails(Cover::StartTls(shows(&trusted)), Some(LOGIN));
    let (strange, by_strange) = mails(Cover::Wrapped(shows(&other)), Some(LOGIN));
    place.write_dag(
        "told.toml",
        "[tasks.load]\nshell = 'exit 2'\non_failure = [\n\
         { email = ['ops@a.example'], connection = 'wrapped' },\n\
         { email = ['ops@a.example'], connection = 'started' },\n\
         { email = ['ops@a.example'], connection = 'strange' },\n]\n",
    );
    let mut command = place.serve_command();
    command.env("SSL_CERT_FILE", trusted.authority());
    for (name, port, extra) in [
        ("WRAPPED", wrapped, json!({})),
        ("STARTED", started, json!({ "disable_ssl": true })),
        ("STRANGE", strange, json!({})),
    ] {
        let connection = json!({
            "conn_type": "smtp", "host": "localhost", "port": port,
            "login": LOGIN.0, "password": LOGIN.1, "extra": extra,
        });
        command.env(format!("TIDEMILL_CONN_{name}"), connection.to_string());
    }
    let server = place.serve_with(command);
    server.wait_for_dag("told");
    let run = place.trigger("told", &[]);
    assert_eq!(server.wait_for_end("told", &run)["state"], "failed");
    for mailed in [by_wrapped, by_started] {
        let said = next(&mailed);
        let (open, covered) = said.split_once(SECURED).unwrap_or_else(|| panic!("{said}"));
        assert!(!open.contains("AUTH") && !open.contains("MAIL"), "{said}");
        let is_whole = covered.contains("AUTH PLAIN") && covered.contains("From: me@a.example");
        assert!(
            is_whole && covered.contains("Subject: told: task load failed"),
            "{said}"
        );
    }
    let said = next(&by_strange);
    assert!(!said.contains("AUTH"), "{said}");
    drop(server);
    let log = place.serve_log();
    assert!(log.contains("An alert could not be sent"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn retries_beginnings_and_ends_are_told_once_each_and_a_dead_receiver_holds_up_nothing() {
    let place = Place::new();
    let (port, received) = web(&[200]);
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    place.write_dag(
        "often.toml",
        &format!(
            r#"
[dag]
on_success = [{{ webhook = "http://127.0.0.1:{port}/end" }}]
[default_args]
retries = 1
retry_delay = "1ms"
on_execute = [{{ webhook = "http://127.0.0.1:{dead}/" }}]
[tasks.twice]
on_retry = [{{ webhook = "http://127.0.0.1:{port}/retry" }}]
on_failure = [{{ webhook = "http://127.0.0.1:{port}/never" }}]
shell = "test $TIDEMILL_TRY_NUMBER = 2"
[tasks.skips]
on_skipped = [{{ webhook = "http://127.0.0.1:{port}/skipped" }}]
shell = "exit 99"
"#
        ),
    );
    let server = place.serve();
    server.wait_for_dag("often");
    let run = place.trigger("often", &[]);
    let ended = server.wait_for_end("often", &run);
    assert_eq!(ended["state"], "success", "{ended}");
    let mut told: Vec<(String, String)> = (0..3)
        .map(|_| {
            let (head, body) = next(&received);
            let path = head.split(' ').nth(1).unwrap().to_string();
            (path, body["event"].as_str().unwrap().to_string())
        })
        .collect();
    told.sort();
    let want = [
        ("/end", "on_success"),
        ("/retry", "on_retry"),
        ("/skipped", "on_skipped"),
    ];
    let want = want.map(|(path, event)| (path.to_string(), event.to_string()));
    assert_eq!(told, want);
    drop(server);
    let log = place.serve_log();
    assert!(
        log.contains("An alert could not be sent; it is tried again"),
        "{log}"
    );
    assert!(received.try_recv().is_err(), "told twice");
}

#[test]
fn a_run_that_is_late_is_told_once_and_goes_on_and_one_that_is_not_is_not() {
    let place = Place::new();
    let (port, received) = web(&[200]);
    let text = format!(
        r#"
[[dag.deadlines]]
interval = "50ms"
notify = [{{ webhook = "http://127.0.0.1:{port}/late", json = {{ run = "{{{{ run_id }}}}", state = "{{{{ state }}}}", why = "{{{{ exception }}}}" }} }}]
[[dag.deadlines]]
reference = "logical_date"
interval = "1d"
notify = [{{ webhook = "http://127.0.0.1:{port}/never" }}]
[[dag.deadlines]]
reference = "average_runtime"
interval = "0s"
notify = [{{ webhook = "http://127.0.0.1:{port}/no-history" }}]
[tasks.slow]
shell = "{}"
"#,
        place.until("go")
    );
    place.write_dag("late.toml", &text);
    let mut server = place.serve();
    server.wait_for_dag("late");
    let run = place.trigger("late", &[]);
    let (head, body) = next(&received);
    assert!(head.starts_with("POST /late "), "{head}");
    assert_eq!(body["run"], run.as_str());
    assert_eq!(body["state"], "running");
    let why = body["why"].as_str().unwrap();
    assert!(why.starts_with("it should have been over at "), "{why}");
    // The next server finds the same deadline and does not tell of it again.
    server.signal(rustix::process::Signal::TERM);
    place.open("go");
    server.wait_until_gone();
    drop(server);
    let server = place.serve();
    server.wait_for_end("late", &run);
    drop(server);
    assert!(received.try_recv().is_err(), "told twice");
}
