//! Brokers that do not let everybody in: passwords, certificates, and what is told of those that
//! are wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server};
use tidemill_kafka_rig::{Broker, Identity, PASSWORD};
use tidemill_store_conformance::server::Certificate;

/// A password that no broker takes, and that must be told nowhere.
const WRONG: &str = "canary-of-a-wrong-password";

fn connection(broker: &str, login: Option<&str>, extra: Value) -> String {
    let mut extra = extra;
    extra["bootstrap.servers"] = json!(broker);
    let mut connection = json!({ "conn_type": "kafka", "extra": extra });
    if let Some(password) = login {
        connection["login"] = json!("ann");
        connection["password"] = json!(password);
    }
    connection.to_string()
}

/// By name: those that a broker lets in, and those that it does not.
fn connections(broker: &Broker, files: &Certificate) -> Vec<(&'static str, String)> {
    let text = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let authority = files.authority().display().to_string();
    let [certificate, _] = files.certificates();
    let (by_password, by_certificate) = (broker.by_password(), broker.by_certificate());
    let scram = json!({ "sasl.mechanism": "SCRAM-SHA-512", "ssl.ca.location": authority });
    let mutual = json!({
        "security.protocol": "ssl", "ssl.ca.pem": text(files.authority()),
        "ssl.certificate.pem": text(certificate), "ssl.key.pem": text(files.key()),
    });
    let plain = json!({ "ssl.ca.location": authority });
    vec![
        ("PLAIN", connection(&by_password, Some(PASSWORD), plain)),
        (
            "SCRAM",
            connection(&by_password, Some(PASSWORD), scram.clone()),
        ),
        ("MUTUAL", connection(&by_certificate, None, mutual)),
        (
            "WRONG_PASSWORD",
            connection(&by_password, Some(WRONG), scram),
        ),
        (
            "WRONG_AUTHORITY",
            connection(&by_password, Some(PASSWORD), json!({})),
        ),
        (
            "NO_CERTIFICATE",
            connection(
                &by_certificate,
                None,
                json!({ "security.protocol": "ssl", "ssl.ca.location": authority }),
            ),
        ),
    ]
}

fn trigger(server: &Server, name: &str) -> Value {
    server.body(&format!("/api/tidemill/v1/dags/s/triggers/{name}"))
}

#[test]
fn passwords_and_certificates_let_streams_and_tasks_in_and_wrong_ones_are_told_without_a_secret() {
    let files = Certificate::new();
    let [certificate, _] = files.certificates();
    let broker = Broker::secured(&Identity {
        certificate,
        key: files.key(),
        authority: files.authority(),
    });
    let topic = broker.new_topic("t", 1);
    let place = Place::new();
    let all = connections(&broker, &files);
    let mut streams = String::new();
    for (name, _) in &all {
        let name = name.to_lowercase();
        streams.push_str(&format!(
            "[triggers.{name}.kafka]\nconnection = '{name}'\ntopics = ['{topic}']\nstart = 'earliest'\nwindow = '10ms'\n"
        ));
    }
    place.write_dag("s.toml", &format!("{streams}[tasks]\nsee = 'true'\n"));
    let write = format!(
        "[tasks.write.kafka_produce]\nconnection = 'scram'\ntopic = '{topic}'\nvalue = {{ n = 1 }}\n\
         [tasks.read]\ndepends_on = ['write']\n[tasks.read.kafka_consume]\nconnection = 'mutual'\ntopics = ['{topic}']\n\
         [tasks.refused]\n[tasks.refused.kafka_produce]\nconnection = 'wrong_password'\ntopic = '{topic}'\nvalue = 1\ntimeout = '5s'\n"
    );
    place.write_dag("w.toml", &write);
    let mut command = place.serve_command();
    for (name, connection) in &all {
        command.env(format!("TIDEMILL_CONN_{name}"), connection);
    }
    let server = place.serve_with(command);
    server.wait_for_dag("w");
    let run = place.trigger("w", &[]);
    assert_eq!(server.wait_for_end("w", &run)["state"], "failed");
    for (task, state) in [
        ("write", "success"),
        ("read", "success"),
        ("refused", "failed"),
    ] {
        assert_eq!(server.task("w", &run, task)["state"], state, "{task}");
    }
    // Each that is let in makes its own run of the record, whatever becomes of the others.
    for name in ["plain", "scram", "mutual"] {
        wait_for(&format!("the run of {name}"), PATIENCE, || {
            (trigger(&server, name)["taken"] == 1).then_some(())
        });
    }
    for name in ["wrong_password", "wrong_authority", "no_certificate"] {
        let shown = wait_for(&format!("the refusal of {name}"), PATIENCE, || {
            Some(trigger(&server, name)).filter(|shown| shown["state"] == "waiting")
        });
        assert_eq!(shown["taken"], 0, "{shown}");
    }
    // A test of a connection finds the same, and says what is wrong.
    let found = [
        ("PLAIN", "one broker lets Tidemill in"),
        ("WRONG_PASSWORD", "uthentication failed"),
        ("WRONG_AUTHORITY", "certificate"),
    ];
    for (wanted, part) in found {
        let (name, connection) = all.iter().find(|(name, _)| *name == wanted).unwrap();
        let mut asked: Value = serde_json::from_str(connection).unwrap();
        asked["connection_id"] = json!(name);
        asked["extra"] = json!(asked["extra"].to_string());
        let (status, told) = server.send("POST", "/api/v2/connections/test", &asked);
        assert_eq!(status, 200, "{told}");
        assert_eq!(told["status"], wanted == "PLAIN", "{name}: {told}");
        let text = told.to_string();
        assert!(text.contains(part), "{name}: {text}");
        assert!(!text.contains(WRONG) && !text.contains(PASSWORD), "{text}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }
    let told = [
        place.serve_log(),
        server.body("/api/tidemill/v1/triggers").to_string(),
        server
            .body(&format!("/api/v2/dags/w/dagRuns/{run}/taskInstances"))
            .to_string(),
        server
            .body(&format!(
                "/api/v2/dags/w/dagRuns/{run}/taskInstances/refused/logs/1"
            ))
            .to_string(),
    ];
    for text in told {
        assert!(!text.contains(WRONG) && !text.contains(PASSWORD), "{text}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }
}
