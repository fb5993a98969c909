//! The http operator against servers and addresses that mean no good.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::asking::{ask, assert_failed, message, place};
use common::http_server::{HttpServer, Seen, answer, ill_server};
use common::{Place, in_process, value};
use serde_json::json;
use std::io::Write;
use tidemill_executor::operator::{Allowed, Operators};
use tidemill_model::Reason;
use tidemill_model::attempt::{Again, Verdict};

#[test]
fn redirects_are_refused_unless_asked_for_and_credentials_stay_at_home() {
    let other = HttpServer::new(|_| answer(200, &[], "other"));
    let away = other.url("/taken");
    let server = HttpServer::new(move |seen| match seen.path.as_str() {
        "/near" => answer(302, &[("location", "/end")], ""),
        "/keep" => answer(307, &[("location", "/end")], ""),
        "/away" => answer(307, &[("location", &away)], ""),
        "/circle" => answer(302, &[("location", "/circle")], ""),
        "/file" => answer(302, &[("location", "file:///etc/passwd")], ""),
        _ => answer(200, &[], "end"),
    });
    let settings = |path: &str, follows: bool| {
        json!({
            "url": server.url(path), "method": "POST", "body": "the body", "follow_redirects": follows,
            "headers": { "Authorization": "Bearer hunter2", "X-Api-Key": "swordfish" },
        })
    };
    assert_failed(&ask(settings("/near", false)), "302", Some(Again::Never));
    let last = |server: &HttpServer| -> Seen { server.seen().last().unwrap().clone() };
    assert_eq!(ask(settings("/near", true)).verdict, Verdict::Success);
    assert_eq!(
        (last(&server).method.as_str(), last(&server).body.as_str()),
        ("GET", "")
    );
    assert_eq!(last(&server).header("x-api-key"), Some("swordfish"));
    assert_eq!(ask(settings("/keep", true)).verdict, Verdict::Success);
    assert_eq!(
        (last(&server).method.as_str(), last(&server).body.as_str()),
        ("POST", "the body")
    );
    assert_eq!(ask(settings("/away", true)).verdict, Verdict::Success);
    let taken = last(&other);
    assert_eq!(
        (taken.header("authorization"), taken.header("x-api-key")),
        (None, None)
    );
    assert_eq!(taken.body, "");
    assert_failed(
        &ask(settings("/circle", true)),
        "10 redirects",
        Some(Again::Never),
    );
    assert_failed(&ask(settings("/file", true)), "http://", Some(Again::Never));
}

#[test]
fn values_of_headers_that_are_secrets_are_shown_nowhere() {
    let server = HttpServer::new(|seen| {
        let text = format!("you sent {}", seen.header("authorization").unwrap());
        answer(400, &[], text)
    });
    let (outcome, log) = place().run(in_process("http", json!({
        "url": server.url("/?q=hunter2-and-more"), "headers": { "Authorization": "Bearer hunter2-and-more" },
    })));
    assert!(message(&outcome).contains("you sent ***"), "{outcome:?}");
    let server =
        HttpServer::new(|seen| answer(200, &[], seen.header("x-token").unwrap().to_string()));
    let (outcome, more) = place().run(in_process(
        "http",
        json!({
            "url": server.url("/hunter2-and-more"), "headers": { "X-Token": "hunter2-and-more" },
        }),
    ));
    assert_eq!(value(&outcome, "return_value"), Some(&json!("***")));
    let all = format!("{log:?}{more:?}{outcome:?}");
    assert!(!all.contains("hunter2"), "{all}");
}

#[test]
fn a_header_cannot_smuggle_another_one() {
    let server = HttpServer::new(|_| answer(200, &[], ""));
    let outcome = ask(json!({
        "url": server.url("/"), "headers": { "X-A": "{{ 'a\r\nX-B: b' }}" },
    }));
    assert_failed(&outcome, "line break", Some(Again::Never));
    assert!(server.seen().is_empty());
}

#[test]
fn this_machine_and_metadata_are_closed_unless_the_worker_allows_them() {
    let server = HttpServer::new(|_| answer(200, &[], "inside"));
    let port = server.address.port();
    let mut closed = Place::with(|options| {
        options.operators =
            Operators::built_in(std::path::Path::new("/nowhere"), Allowed::default());
    });
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
    ] {
        let settings = json!({ "url": format!("http://{host}:{port}/"), "timeout": 5_000 });
        let (outcome, _) = closed.run(in_process("http", settings));
        assert_eq!(outcome.verdict, Verdict::Failed, "{host}: {outcome:?}");
        assert!(
            message(&outcome).contains("not allowed"),
            "{host}: {outcome:?}"
        );
        assert_eq!(outcome.again, Some(Again::Never), "{host}");
    }
    assert!(server.seen().is_empty());
    for (url, part) in [
        (format!("http://user:pass@127.0.0.1:{port}/"), "no user"),
        ("file:///etc/passwd".to_string(), "http://"),
        ("unix:///run/docker.sock".to_string(), "http://"),
    ] {
        let (outcome, _) = closed.run(in_process("http", json!({ "url": url })));
        assert_failed(&outcome, part, Some(Again::Never));
    }
}

#[test]
fn a_redirect_to_a_closed_address_is_not_followed() {
    let inside = HttpServer::new(|_| answer(200, &[], "credentials"));
    let target = format!(
        "http://127.0.0.2:{}/latest/meta-data",
        inside.address.port()
    );
    let server = HttpServer::new(move |_| answer(302, &[("location", &target)], ""));
    let mut place = Place::with(|options| {
        options.operators = Operators::built_in(
            std::path::Path::new("/nowhere"),
            Allowed::parse("127.0.0.1").unwrap(),
        );
    });
    let settings = json!({ "url": server.url("/"), "follow_redirects": true });
    let (outcome, _) = place.run(in_process("http", settings));
    assert_failed(&outcome, "not allowed", Some(Again::Never));
}

#[test]
fn an_answer_without_end_is_cut_off_at_its_limit() {
    let endless = ill_server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
        let block = [b'x'; 65536];
        while stream.write_all(&block).is_ok() {}
    });
    let outcome = ask(json!({ "url": format!("http://{endless}/"), "max_size": 1 << 20 }));
    assert_failed(&outcome, "max_size", Some(Again::Never));
}

#[test]
fn an_answer_that_is_small_only_while_packed_is_cut_off_too() {
    // 8 MiB of zeros in a few kB.
    let packed = std::process::Command::new("sh")
        .args(["-c", "head -c 8388608 /dev/zero | gzip -9"])
        .output()
        .unwrap()
        .stdout;
    assert!(packed.len() < 64 * 1024);
    let bomb = ill_server(move |stream| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            packed.len()
        );
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&packed);
    });
    let outcome = ask(json!({ "url": format!("http://{bomb}/"), "max_size": 1 << 20 }));
    assert_failed(&outcome, "max_size", Some(Again::Never));
}

#[test]
fn slow_servers_end_with_the_time_of_a_request_or_of_all() {
    let silent = ill_server(|stream| {
        use std::io::Read;
        let _ = stream.read(&mut [0u8; 1]); // until the other side hangs up
    });
    let url = format!("http://{silent}/");
    let outcome = ask(json!({ "url": url, "timeout": 50 }));
    assert_failed(&outcome, "within `timeout`", None);
    let outcome = ask(json!({ "url": url, "timeout": 600_000, "total_timeout": 50 }));
    assert_failed(&outcome, "`total_timeout`", None);

    // Each byte comes in time, the whole never does.
    let drip = ill_server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            wait_a_little();
        }
    });
    let outcome = ask(json!({ "url": format!("http://{drip}/"), "timeout": 100 }));
    assert_failed(&outcome, "within `timeout`", None);
}

fn wait_a_little() {
    std::thread::sleep(std::time::Duration::from_millis(5));
}

#[test]
fn broken_connections_and_odd_answers_fail_and_may_be_tried_again() {
    let resets = ill_server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
    });
    let nonsense = ill_server(|stream| {
        let _ = stream.write_all(b"220 smtp.example ESMTP\r\n");
    });
    let many = ill_server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        for n in 0..100_000 {
            if stream
                .write_all(format!("x-{n}: y\r\n").as_bytes())
                .is_err()
            {
                return;
            }
        }
        let _ = stream.write_all(b"\r\n");
    });
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for address in [resets, nonsense, many, gone] {
        let outcome = ask(json!({ "url": format!("http://{address}/"), "timeout": 20_000 }));
        assert_failed(&outcome, &address.to_string(), None);
        assert_eq!(outcome.reason, Some(Reason::Refused));
    }
    let outcome = ask(json!({ "url": "http://no-such-host.invalid/" }));
    assert_failed(&outcome, "no-such-host.invalid", None);
}
