//! A worker on another machine gets what its attempt needs of the database, sealed; on a real
//! PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::json;
use support::worker::WorkerProcess;
use support::{Place, postgres, stdout};

const DAG: &str = r#"
[tasks.far]
queue = "far"
secrets = { PASSWORD = "conn.dw.password", OWN = "var.own" }
shell = 'echo "$(printf %s "$PASSWORD$OWN" | wc -c) {{ conn.dw.host }} $PASSWORD"'
"#;

#[test]
fn a_worker_opens_what_is_sent_to_it_with_its_own_key_and_not_without() {
    let place = Place::at(Some(postgres::Server::shared().new_database()));
    place.write_dag("far.toml", DAG);
    let server = place.serve();
    server.wait_for_dag("far");
    let dw = json!({"connection_id": "dw", "conn_type": "postgres", "host": "db", "password": "hunter2-pw"});
    assert_eq!(server.send("POST", "/api/v2/connections", &dw).0, 201);
    let own = json!({"key": "own", "value": "of the database"});
    assert_eq!(server.send("POST", "/api/v2/variables", &own).0, 201);
    let key = stdout(&place.call(&["secrets", "worker-key"]));
    let args = ["--queues", "far"];

    let mut worker = WorkerProcess::start(&place, &args);
    let run = place.trigger("far", &[]);
    assert_eq!(server.wait_for_end("far", &run)["state"], "failed");
    let log = stdout(&place.call(&["tasks", "logs", &format!("far/{run}"), "far"]));
    assert!(log.contains("tidemill secrets worker-key"), "{log}");
    worker.signal(rustix::process::Signal::TERM);
    worker.wait_until_gone();

    let env = [
        ("TIDEMILL_SECRETS_KEY", key.trim()),
        ("AIRFLOW_VAR_OWN", "here"),
    ];
    let worker = WorkerProcess::start_with(&place, &args, &env);
    let run = place.trigger("far", &[]);
    assert_eq!(
        server.wait_for_end("far", &run)["state"],
        "success",
        "{}",
        worker.log()
    );
    let path = format!(
        "/api/v2/dags/far/dagRuns/{}/taskInstances/far/xcomEntries/return_value",
        support::http::escape(&run)
    );
    assert_eq!(server.body(&path)["value"], "14 db ***");
}
