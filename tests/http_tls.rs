//! HTTPS: a certificate is verified, by the system's authorities or by those of `ca_file`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use rustls::{ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use support::tls::shows_file;
use support::{Place, told};
use tidemill_store_conformance::server::Certificate;

/// A server with this certificate that answers `hello` to everything; its port.
fn server(certificate: &Path, key: &Path) -> u16 {
    let config = shows_file(certificate, key);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut head = Vec::new();
            let mut byte = [0u8; 1];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            // A client that does not trust us has hung up.
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
            );
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    port
}

#[test]
fn a_certificate_counts_when_its_authority_is_trusted_its_name_fits_and_its_time_is_not_over() {
    let certificate = Certificate::new();
    let other = Certificate::new();
    let [good, expired] = certificate.certificates();
    let (good, expired) = (
        server(&good, &certificate.key()),
        server(&expired, &certificate.key()),
    );
    let place = Place::new();
    let ask = |url: String, authority: Option<&Certificate>| {
        let folder = place.dags().join("tls");
        std::fs::create_dir_all(&folder).unwrap();
        let ca = authority.map(|authority| {
            std::fs::copy(authority.authority(), folder.join("ca.pem")).unwrap();
            "ca_file = 'ca.pem'\n"
        });
        let text = format!(
            "[tasks.ask.http]\nurl = '{url}'\n{}",
            ca.unwrap_or_default()
        );
        std::fs::write(folder.join("dag.toml"), text).unwrap();
        let mut command = place.tidemill();
        command.env("TIDEMILL_HTTP_ALLOW", "127.0.0.0/8,::1");
        let file = folder.join("dag.toml");
        let output = command.args(["run", file.to_str().unwrap()]).output();
        told(&output.unwrap())
    };
    let trusted = ask(format!("https://localhost:{good}/"), Some(&certificate));
    assert!(trusted.contains(" 1 ok"), "{trusted}");
    for (url, authority, why) in [
        (
            format!("https://localhost:{good}/"),
            None,
            "nobody says whose it is",
        ),
        (
            format!("https://localhost:{good}/"),
            Some(&other),
            "another authority",
        ),
        (
            format!("https://127.0.0.1:{good}/"),
            Some(&certificate),
            "another name",
        ),
        (
            format!("https://localhost:{expired}/"),
            Some(&certificate),
            "its time is over",
        ),
    ] {
        let refused = ask(url, authority);
        let is_refused = !refused.contains(" 1 ok") && refused.contains("ertificate");
        assert!(is_refused, "{why}: {refused}");
    }
}

#[test]
fn the_authorities_of_a_flat_file_are_pinned_with_its_version() {
    let certificate = Certificate::new();
    let [good, _] = certificate.certificates();
    let port = server(&good, &certificate.key());
    let place = Place::new();
    let pem = place.dags().join("ca.pem");
    std::fs::copy(certificate.authority(), &pem).unwrap();
    let whole = certificate.authority().display().to_string();
    let dag = |ca: &str| {
        format!(
            "[tasks.ask]\nretries = 0\n[tasks.ask.http]\nurl = 'https://localhost:{port}/'\nca_file = '{ca}'\n\
             [tasks.look]\nretries = 0\n[tasks.look.http_sensor]\nurl = 'https://localhost:{port}/'\nca_file = '{ca}'\ntimeout = '5s'\n"
        )
    };
    place.write_dag("beside.toml", &dag("ca.pem"));
    place.write_dag("whole.toml", &dag(&whole));
    let mut command = place.serve_command();
    command.env("TIDEMILL_HTTP_ALLOW", "127.0.0.0/8,::1");
    let server = place.serve_with(command);
    for name in ["beside", "whole"] {
        server.wait_for_dag(name);
        let run = place.trigger(name, &[]);
        let ended = server.wait_for_end(name, &run);
        assert_eq!(
            ended["state"],
            "success",
            "{name}: {:?}",
            server.tasks(name, &run)
        );
    }
    let versions = place.home().join("versions");
    let pinned = std::fs::read_dir(versions).unwrap().flatten();
    let pinned = pinned.filter(|version| version.path().join("ca.pem").is_file());
    assert_eq!(
        pinned.count(),
        1,
        "what is named by its whole path is not pinned"
    );
    place.write_dag("outside.toml", &dag("../ca.pem"));
    let file = place.dags().join("outside.toml");
    let refused = told(&place.call(&["validate", file.to_str().unwrap()]));
    assert!(refused.contains("inside the DAG's folder"), "{refused}");
}
