//! The http operator against a real server.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::asking::{ask, assert_failed, message, place};
use common::http_server::{HttpServer, answer, ill_server};
use common::{in_process, texts, value};
use serde_json::{Value, json};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidemill_log::NOTE;
use tidemill_model::Reason;
use tidemill_model::attempt::{Again, Verdict};

#[test]
fn query_json_and_form_are_rendered_and_encoded() {
    let server = HttpServer::new(|_| answer(200, &[], "ok"));
    let outcome = ask(json!({
        "url": server.url("/a?x=1"), "method": "POST",
        "query": { "day": "{{ ds }}", "odd": "a&b= c" },
        "json": { "region": "{{ params.region }}", "n": "{{ params['n-rows'] }}", "deep": ["{{ ds }}", 2] },
    }));
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let outcome = ask(json!({
        "url": server.url("/b"), "method": "PUT", "form": { "a b": "ü & {{ ds }}" },
    }));
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let seen = server.seen();
    assert_eq!(seen[0].path, "/a?x=1&day=2025-11-21&odd=a%26b%3D+c");
    let body: Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(
        body,
        json!({ "region": "eu", "n": 7, "deep": ["2025-11-21", 2] })
    );
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[1].body, "a+b=%C3%BC+%26+2025-11-21");
}

#[test]
fn an_answer_can_be_saved_whole_or_not_at_all() {
    let body = "x".repeat(3 << 20);
    let server = HttpServer::new(move |seen| match seen.path.as_str() {
        "/good" => answer(200, &[], body.clone()),
        _ => answer(500, &[], "broken"),
    });
    let mut place = place();
    let settings =
        |path: &str| json!({ "url": server.url(path), "save_to": "{{ run_dir }}/in/{{ ds }}.txt" });
    let saved = place.path("run/in/2025-11-21.txt");
    let (outcome, _) = place.run(in_process("http", settings("/bad")));
    assert_eq!(outcome.http_status, Some(500));
    assert_eq!(std::fs::read_dir(place.path("run/in")).unwrap().count(), 0);
    let (outcome, _) = place.run(in_process("http", settings("/good")));
    let output = value(&outcome, "return_value").unwrap();
    assert_eq!(output["size"], 3 << 20);
    assert_eq!(output["path"], saved.display().to_string());
    assert_eq!(std::fs::metadata(saved).unwrap().len(), 3 << 20);
    assert_eq!(std::fs::read_dir(place.path("run/in")).unwrap().count(), 1);
}

/// Three pages of two items.
fn pages() -> HttpServer {
    HttpServer::new(|seen| {
        let page = seen
            .path
            .split("page=")
            .nth(1)
            .map_or(0, |n| n.parse().unwrap());
        let next = (page < 2).then(|| format!("?page={}", page + 1));
        let items = [json!({ "n": page * 2 }), json!({ "n": page * 2 + 1 })];
        answer(
            200,
            &[],
            json!({ "items": items, "next": next }).to_string(),
        )
    })
}

#[test]
fn pages_become_one_list_or_one_file() {
    let server = pages();
    let settings = json!({
        "url": server.url("/items"), "response_filter": "{{ response.json['items'] }}",
        "pagination": { "next": "{{ response.json.next }}" },
    });
    let outcome = ask(settings.clone());
    let numbers: Vec<Value> = (0..6).map(|n| json!({ "n": n })).collect();
    assert_eq!(
        value(&outcome, "return_value"),
        Some(&json!(numbers)),
        "{outcome:?}"
    );

    let mut place = place();
    let mut to_file = settings.clone();
    to_file["save_to"] = json!("items.ndjson");
    let (outcome, _) = place.run(in_process("http", to_file));
    assert_eq!(
        value(&outcome, "return_value").unwrap()["items"],
        6,
        "{outcome:?}"
    );
    let text = std::fs::read_to_string(place.path("run/items.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert_eq!(text.lines().last(), Some("{\"n\":5}"));

    let mut short = settings;
    short["pagination"]["max_pages"] = json!(2);
    assert_failed(&ask(short), "max_pages", Some(Again::Never));
}

#[test]
fn pagination_neither_circles_nor_leads_to_another_server() {
    let server = HttpServer::new(|seen| {
        let next = match seen.path.as_str() {
            "/self" => "/self",
            _ => "http://127.0.0.2:1/other",
        };
        answer(200, &[], json!({ "next": next }).to_string())
    });
    for (path, part) in [("/self", "never end"), ("/away", "another server")] {
        let outcome = ask(json!({
            "url": server.url(path), "pagination": { "next": "{{ response.json.next }}" },
        }));
        assert_failed(&outcome, part, Some(Again::Never));
    }
}

#[test]
fn a_check_decides_over_the_status() {
    let server = HttpServer::new(|seen| match seen.path.as_str() {
        "/odd" => answer(404, &[], "{\"complete\": true}"),
        _ => answer(200, &[], "{\"complete\": false}"),
    });
    let settings =
        |path: &str, check: &str| json!({ "url": server.url(path), "response_check": check });
    let check = "{{ response.json.complete }}";
    assert_eq!(ask(settings("/odd", check)).verdict, Verdict::Success);
    assert_failed(&ask(settings("/", check)), "response_check is false", None);
    let outcome = ask(settings("/", "{{ response.status }}"));
    assert_eq!(outcome.reason, Some(Reason::BadOutput));
    assert_failed(&outcome, "must be true or false, it is 200", None);
}

#[test]
fn statuses_say_whether_and_when_another_try_may_help() {
    let server = HttpServer::new(|seen| {
        let status: u16 = seen.path[1..4].parse().unwrap();
        match seen.path.get(5..) {
            Some("date") => answer(
                status,
                &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")],
                "",
            ),
            Some(wait) => answer(status, &[("retry-after", wait)], ""),
            None => answer(status, &[], "why it is so\nmore"),
        }
    });
    for (path, again) in [
        ("/400", Some(Again::Never)),
        ("/401", Some(Again::Never)),
        ("/404", Some(Again::Never)),
        ("/302", Some(Again::Never)),
        ("/408", None),
        ("/429", None),
        ("/500", None),
        ("/503", None),
        ("/429/17", Some(Again::AfterSeconds(17))),
        ("/503/date", Some(Again::AfterSeconds(0))),
        ("/503/soon", None),
    ] {
        let outcome = ask(json!({ "url": server.url(path) }));
        assert_eq!(outcome.http_status, path[1..4].parse().ok());
        assert_failed(&outcome, &path[1..4], again);
    }
    let outcome = ask(json!({ "url": server.url("/500") }));
    assert_eq!(message(&outcome), "the answer is 500: why it is so");
}

#[test]
fn the_idempotency_key_is_that_of_the_task_instance_whatever_the_try() {
    let server = HttpServer::new(|_| answer(200, &[], ""));
    let mut place = place();
    let settings = json!({ "url": server.url("/"), "method": "POST" });
    for (try_number, map_index) in [(1, -1), (2, -1), (1, 0)] {
        let mut spec = common::spec(place.folder.path(), in_process("http", settings.clone()));
        (spec.facts.try_number, spec.facts.map_index) = (try_number, map_index);
        let attempt = spec.attempt;
        place.worker.launch(spec);
        assert_eq!(place.outcome(attempt).verdict, Verdict::Success);
    }
    let mut own = settings.clone();
    own["idempotency_key"] = json!("day-{{ ds }}");
    place.run(in_process("http", own));
    let mut none = settings;
    none["idempotency_key"] = json!("");
    place.run(in_process("http", none));
    place.run(in_process("http", json!({ "url": server.url("/") })));
    let seen = server.seen();
    let keys: Vec<Option<&str>> = seen
        .iter()
        .map(|one| one.header("idempotency-key"))
        .collect();
    assert!(keys[0].is_some_and(|key| key.len() == 32), "{keys:?}");
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
    assert_eq!(keys[3..], [Some("day-2025-11-21"), None, None]);
}

#[test]
fn the_log_says_what_was_asked_and_what_came() {
    static N: AtomicUsize = AtomicUsize::new(0);
    let server = HttpServer::new(|_| {
        N.fetch_add(1, Ordering::SeqCst);
        answer(204, &[], "")
    });
    let (_, log) = place().run(in_process(
        "http",
        json!({ "url": server.url("/x"), "method": "DELETE" }),
    ));
    let expected = format!("DELETE {}: 204 No Content", server.url("/x"));
    assert_eq!(texts(&log, NOTE), [expected]);
    assert_eq!(N.load(Ordering::SeqCst), 1);
}

#[test]
fn a_sensor_waits_out_what_may_pass_and_nothing_else() {
    let n_asked = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&n_asked);
    let server = HttpServer::new(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => answer(503, &[], "starting"),
        1 => answer(404, &[], ""),
        2 => answer(200, &[], "{\"ready\": false}"),
        _ => answer(200, &[], "{\"ready\": true}"),
    });
    let mut place = place();
    let settings = json!({
        "url": server.url("/"), "poke_interval": 1, "request_timeout": 5000,
        "response_check": "{{ response.status == 200 and response.json.ready }}",
        "response_filter": "{{ response.json.ready }}",
    });
    let attempt = place.launch(in_process("http_sensor", settings));
    let waits = place.outcome(attempt);
    assert_eq!(waits.verdict, Verdict::Deferred, "{waits:?}");
    let ended = place.outcome(attempt);
    assert_eq!(ended.verdict, Verdict::Success, "{ended:?}");
    assert_eq!(value(&ended, "return_value"), Some(&json!(true)));
    assert_eq!(n_asked.load(Ordering::SeqCst), 4);
    let notes = place.log(attempt);
    let waiting = texts(&notes, NOTE)
        .into_iter()
        .filter(|text| text.starts_with("waiting:"));
    assert_eq!(waiting.count(), 3, "{notes:?}");

    let closed = json!({ "url": "http://169.254.169.254/", "poke_interval": 1 });
    let (outcome, _) = place.run(in_process("http_sensor", closed));
    assert_failed(&outcome, "not allowed", Some(Again::Never));
}

#[test]
fn a_sensor_asks_with_a_form_a_time_for_each_look_and_a_key_only_if_it_is_given() {
    let server = HttpServer::new(|_| answer(200, &[], ""));
    let settings = json!({
        "url": server.url("/"), "method": "POST", "form": { "a": "1 {{ 1 + 1 }}" },
    });
    let mut place = place();
    let (outcome, _) = place.run(in_process("http_sensor", settings.clone()));
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let seen = server.seen();
    let last = seen.last().unwrap();
    assert_eq!(last.body, "a=1+2");
    assert_eq!(
        last.header("idempotency-key"),
        None,
        "a look is no repetition"
    );
    let mut keyed = settings;
    keyed["idempotency_key"] = json!("{{ dag.dag_id }}-key");
    let (outcome, _) = place.run(in_process("http_sensor", keyed));
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let key = server
        .seen()
        .last()
        .unwrap()
        .header("idempotency-key")
        .map(str::to_string);
    assert!(key.is_some_and(|key| key.ends_with("-key")));
    let never = ill_server(|stream| while stream.read(&mut [0]).is_ok_and(|n| n > 0) {});
    let url = format!("http://{never}/");
    let endless = json!({ "url": url, "total_timeout": 20, "timeout": 1 });
    let (outcome, _) = place.run(in_process("http_sensor", endless));
    assert_failed(&outcome, "`total_timeout`", Some(Again::Never));
}

#[test]
fn a_connection_gives_the_host_the_user_and_headers_and_keeps_them_there() {
    let other = HttpServer::new(|_| answer(200, &[], "other"));
    let away = other.url("/taken");
    let server = HttpServer::new(move |seen| match seen.path.as_str() {
        "/away" => answer(307, &[("location", &away)], ""),
        _ => answer(200, &[], format!("{:?}", seen.headers)),
    });
    let mut place = place();
    let text = format!(
        r#"{{"conn_type": "http", "host": "127.0.0.1", "port": {}, "login": "me", "password": "hunter2-long",
            "extra": {{"headers": {{"X-Api-Key": "swordfish-key"}}}}}}"#,
        server.address.port()
    );
    let mut ask = |endpoint: &str| {
        let settings =
            json!({ "connection": "shop", "endpoint": endpoint, "follow_redirects": true });
        let mut spec = common::spec(place.folder.path(), in_process("http", settings));
        let shop = tidemill_connection::Connection::parse("shop", &text).unwrap();
        let mut found = tidemill_connection::Found::default();
        found.connections.insert("shop".to_string(), shop);
        spec.facts.found = std::sync::Arc::new(found);
        let attempt = spec.attempt;
        place.worker.launch(spec);
        place.outcome(attempt)
    };
    let outcome = ask("/v2/orders?x=1");
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let shown = format!("{:?}", value(&outcome, "return_value"));
    assert!(
        !shown.contains("swordfish") && shown.contains("***"),
        "{shown}"
    );
    let seen = server.seen();
    assert_eq!(seen[0].path, "/v2/orders?x=1");
    assert_eq!(
        seen[0].header("authorization"),
        Some("Basic bWU6aHVudGVyMi1sb25n")
    );
    assert_eq!(seen[0].header("x-api-key"), Some("swordfish-key"));
    assert_eq!(ask("/away").verdict, Verdict::Success);
    let taken = &other.seen()[0];
    assert_eq!(
        (taken.header("authorization"), taken.header("x-api-key")),
        (None, None)
    );
    let outcome = ask("//elsewhere.example/x");
    assert_failed(&outcome, "leads away", Some(Again::Never));
}
