//! Connections and variables on their pages, and what a test of a connection finds at its other
//! end. Nothing that is told holds a secret.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use support::mail::{Cover, mails};
use support::session::Session;
use support::tls::shows;
use support::{Place, Server, postgres, told};
use tidemill_store_conformance::server::Certificate;

/// What the socket of the home gives away, with all values.
fn kept(server: &Server) -> Value {
    server.body("/api/tidemill/v1/secrets/export")
}

/// The body of a file that a page gives away.
fn file(session: &Session, what: &str) -> Value {
    let answer = session.get(&format!("/admin/export/{what}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(head.contains("attachment; filename"), "{head}");
    assert!(!answer.contains("hunter2"), "{answer}");
    // The answer may come in chunks; the file is the object in it.
    let (from, to) = (body.find('{').unwrap(), body.rfind('}').unwrap());
    serde_json::from_str(&body[from..=to]).unwrap_or_else(|err| panic!("{err}: {answer}"))
}

#[test]
fn the_pages_set_change_and_delete_and_show_no_secret() {
    let place = Place::new();
    let server = place.serve();
    let session = Session::of(&place, &server);
    let connection = [
        ("id", "dw"),
        ("conn_type", "postgres"),
        ("host", "db.example"),
        ("port", "5432"),
        ("password", "hunter2-pw"),
        ("extra", r#"{"sslmode": "hunter2-mode"}"#),
    ];
    let made = session.post("/admin/connections", &connection);
    assert!(made.starts_with("HTTP/1.1 303"), "{made}");
    let twice = session.post("/admin/connections", &connection);
    assert!(
        twice.starts_with("HTTP/1.1 409") && twice.contains("there already"),
        "{twice}"
    );
    for (key, value) in [("api_token", "hunter2-token"), ("region", "eu-west")] {
        let made = session.post("/admin/variables", &[("key", key), ("value", value)]);
        assert!(made.starts_with("HTTP/1.1 303"), "{made}");
    }
    let page = session.get("/admin/connections");
    assert!(
        page.contains("db.example") && !page.contains("hunter2"),
        "{page}"
    );
    let page = session.get("/admin/variables");
    assert!(
        page.contains("eu-west") && !page.contains("hunter2"),
        "{page}"
    );

    // An empty field of a secret leaves it; a ticked box takes it away; others are replaced.
    let fields = [
        ("do", "set"),
        ("conn_type", "postgres"),
        ("host", "other.example"),
    ];
    session.post(
        "/admin/connections/dw",
        &[&fields[..], &[("port", ""), ("no_extra", "1")]].concat(),
    );
    let dw = kept(&server)["connections"]["dw"].clone();
    assert_eq!(
        (&dw["host"], &dw["port"], &dw["password"], &dw["extra"]),
        (
            &json!("other.example"),
            &Value::Null,
            &json!("hunter2-pw"),
            &Value::Null
        )
    );
    let wrong = session.post("/admin/connections/dw", &[("port", "70000")]);
    assert!(wrong.starts_with("HTTP/1.1 422"), "{wrong}");
    let fields = [
        ("do", "set"),
        ("value", "hunter2-new"),
        ("description", "for calls"),
    ];
    session.post("/admin/variables/api_token", &fields);
    let token = kept(&server)["variables"]["api_token"].clone();
    assert_eq!(token["value"], "hunter2-new");
    assert_eq!(token["description"], "for calls");

    session.post("/admin/variables/region", &[("do", "delete")]);
    session.post("/admin/connections/dw", &[("do", "delete")]);
    let kept = kept(&server);
    assert_eq!(kept["connections"], json!({}));
    assert_eq!(kept["variables"].as_object().unwrap().len(), 1);
}

#[test]
fn the_pages_take_in_files_of_airflow_and_give_them_away_without_secrets() {
    let place = Place::new();
    let server = place.serve();
    let session = Session::of(&place, &server);
    let import = |what: &str, text: &str, more: &[(&str, &str)]| {
        let fields = [&[("text", text)], more].concat();
        session.post(&format!("/admin/import/{what}"), &fields)
    };
    let airflow = json!({
        "dw": { "conn_type": "postgres", "host": "db", "password": "hunter2-pw", "port": 5432 },
        "api": "https://me:hunter2-api@api.example/",
    });
    let told = import("connections", &airflow.to_string(), &[]);
    assert!(
        told.contains("2 connections are kept") && !told.contains("hunter2"),
        "{told}"
    );
    let variables = json!({
        "region": "eu", "limits": { "a": [1] },
        "api_token": { "value": "hunter2-token", "description": "for calls" },
    });
    let told = import("variables", &variables.to_string(), &[]);
    assert!(
        told.contains("3 variables are kept") && !told.contains("hunter2"),
        "{told}"
    );
    let before = kept(&server);
    assert_eq!(before["connections"]["api"]["password"], "hunter2-api");
    assert_eq!(before["variables"]["limits"]["value"], r#"{"a":[1]}"#);

    let (given, values) = (file(&session, "connections"), file(&session, "variables"));
    assert_eq!(given["dw"]["password"], "***");
    assert_eq!(given["dw"]["port"], 5432);
    assert_eq!(given["api"]["extra"], Value::Null);
    assert_eq!(values["limits"], json!({ "a": [1] }));
    assert_eq!(values["api_token"]["value"], "***");

    // What was given away comes back: nothing is lost, and nothing is changed unasked.
    let told = import("connections", &given.to_string(), &[]);
    assert!(told.contains("0 connections are kept, 2 are not"), "{told}");
    assert!(told.contains("is there already"), "{told}");
    let mut changed = given;
    changed["dw"]["host"] = json!("db2");
    let told = import("connections", &changed.to_string(), &[("overwrite", "1")]);
    assert!(told.contains("2 connections are kept"), "{told}");
    let mut values = values;
    values["new_token"] = json!("***");
    let told = import("variables", &values.to_string(), &[("overwrite", "1")]);
    assert!(
        told.contains("3 variables are kept, 1 are not: new_token: "),
        "{told}"
    );
    let after = kept(&server);
    assert_eq!(after["connections"]["dw"]["host"], "db2");
    for pointer in [
        "/connections/dw/password",
        "/connections/api/password",
        "/variables",
    ] {
        assert_eq!(after.pointer(pointer), before.pointer(pointer), "{pointer}");
    }

    let wrong = import(
        "connections",
        r#"{"x": {"conn_type": "a", "pasword": "hunter2"}}"#,
        &[],
    );
    assert!(
        wrong.starts_with("HTTP/1.1 422") && wrong.contains("pasword"),
        "{wrong}"
    );
    assert!(!wrong.contains("hunter2"), "{wrong}");
    let wrong = import("variables", "hunter2", &[]);
    assert!(
        wrong.starts_with("HTTP/1.1 422") && !wrong.contains("hunter2"),
        "{wrong}"
    );
}

/// Asks for a test of a connection: whether it is good, and what is told.
fn test(server: &Server, connection: Value) -> (bool, String) {
    let mut connection = connection;
    connection["connection_id"] = json!("tried");
    let (status, told) = server.send("POST", "/api/v2/connections/test", &connection);
    assert_eq!(status, 200, "{told}");
    let text = told["message"].as_str().unwrap().to_string();
    assert!(!text.contains("hunter2"), "{text}");
    (told["status"] == true, text)
}

/// Asserts what a test finds, and a part of what is told.
fn expect(server: &Server, connection: &Value, is_good: bool, part: &str) {
    let (found, text) = test(server, connection.clone());
    assert!(found == is_good && text.contains(part), "{found}: {text}");
}

#[test]
fn a_test_logs_in_at_the_database_and_opens_the_file() {
    let place = Place::new();
    let server = place.serve();
    let database = postgres::Server::shared();
    let url = database.new_database();
    database.sql(
        "postgres",
        "create role secretive login password 'hunter2-right'",
    );
    let login = |password| support::secretive(&url, password);
    let right = login("hunter2-right");
    let name = right["schema"].as_str().unwrap();
    let good = format!("`secretive` is let into the database `{name}`");
    expect(&server, &right, true, &good);
    let why = "password authentication failed";
    expect(&server, &login("hunter2-wrong"), false, why);
    let mut elsewhere = right.clone();
    elsewhere["schema"] = json!("not_there");
    expect(&server, &elsewhere, false, "not_there");
    let nobody =
        json!({ "conn_type": "postgres", "host": "127.0.0.1", "port": 1, "password": "hunter2" });
    expect(&server, &nobody, false, "cannot be asked");

    let path = place.folder().join("some.db");
    let file = json!({ "conn_type": "sqlite", "host": path });
    expect(&server, &file, false, "some.db");
    assert!(!path.exists(), "a test makes no file");
    let dag = format!(
        "[tasks.q.sql]\nurl = 'sqlite://{}'\nsql = 'create table t (n int)'\n",
        path.display()
    );
    let dag = place.write_dag("makes.toml", &dag);
    assert!(place.call(&["run", dag.to_str().unwrap()]).status.success());
    expect(&server, &file, true, "a database with 1 tables");
    std::fs::write(
        &path,
        "this is no database, and long enough to be looked at".repeat(20),
    )
    .unwrap();
    expect(&server, &file, false, "not a database");
}

/// A server that lets in who has this name and password, and breaks at `/broken`; its port.
fn web(login: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0u8; 1];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let wanted = format!("authorization: Basic {}", BASE64.encode(login));
            let status = if head.starts_with("GET /broken") {
                "503 Service Unavailable"
            } else if head.contains(&wanted) {
                "200 OK"
            } else {
                "401 Unauthorized"
            };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()); // it may be gone
        }
    });
    port
}

#[test]
fn a_test_asks_the_web_server_and_the_mail_server_with_the_login() {
    let place = Place::new();
    let certificate = Certificate::new();
    let mut command = place.serve_command();
    command.env("SSL_CERT_FILE", certificate.authority());
    let server = place.serve_with(command);
    let port = web("me:hunter2-right");
    let http = |password: &str, path: &str| {
        json!({
            "conn_type": "http", "host": format!("http://127.0.0.1:{port}{path}"),
            "login": "me", "password": password,
        })
    };
    expect(&server, &http("hunter2-right", "/"), true, "200 OK");
    expect(
        &server,
        &http("hunter2-wrong", "/"),
        false,
        "401 Unauthorized: it does not take the login",
    );
    expect(&server, &http("hunter2-right", "/broken"), false, "503");
    let far = json!({ "conn_type": "http", "host": "169.254.169.254" });
    expect(&server, &far, false, "not allowed");
    let nobody = json!({ "conn_type": "http", "host": "127.0.0.1", "port": 1 });
    expect(&server, &nobody, false, "http://127.0.0.1:1/");

    let login = Some(("me", "hunter2-right"));
    let (port, said) = mails(Cover::Wrapped(shows(&certificate)), login);
    let mail = |password: &str| {
        json!({
            "conn_type": "smtp", "host": "localhost", "port": port,
            "login": "me", "password": password,
        })
    };
    expect(&server, &mail("hunter2-right"), true, "lets Tidemill in");
    expect(&server, &mail("hunter2-wrong"), false, "not with these");
    assert!(!said.recv().unwrap().contains("MAIL"), "nothing is sent");
}

#[test]
fn the_command_line_tells_by_its_exit_status_whether_a_connection_is_good() {
    let place = Place::new();
    let server = place.serve();
    let port = web("me:hunter2-right");
    for (password, status) in [("hunter2-right", 0), ("hunter2-wrong", 6)] {
        let body = json!({
            "connection_id": "api", "conn_type": "http", "host": "127.0.0.1", "port": port,
            "login": "me", "password": password,
        });
        server.send("POST", "/api/v2/connections", &body);
        server.send("PATCH", "/api/v2/connections/api", &body);
        let output = place.call(&["connections", "test", "api"]);
        assert_eq!(output.status.code(), Some(status), "{}", told(&output));
        assert!(!told(&output).contains("hunter2"), "{}", told(&output));
        let session = Session::of(&place, &server);
        let page = session.post("/admin/connections/api", &[("do", "test")]);
        let is_bad = page.contains("class=\"notice bad\"");
        assert_eq!(is_bad, status != 0, "{page}");
        assert!(
            page.contains("127.0.0.1") && !page.contains("hunter2"),
            "{page}"
        );
    }
}
