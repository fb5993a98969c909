//! Operators that run inside the worker: their log, their values, and every way in which they end.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::http_server::{HttpServer, answer};
use common::{Place, eventually, in_process, texts, value};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidemill_executor::operator::{Done, End, Failure, Job, Operators, Stream, Work};
use tidemill_log::{NOTE, STDERR, STDOUT};
use tidemill_model::Reason;
use tidemill_model::attempt::{Again, Verdict};

/// A worker that has one more operator, `probe`.
fn place(probe: impl Fn(Job) -> Work + Send + Sync + 'static) -> Place {
    let operators = Operators::default().with("probe", probe);
    Place::with(move |options| options.operators = operators)
}

/// Work that never ends, and counts itself out when it is dropped.
fn endless(begun: &Arc<AtomicUsize>, dropped: &Arc<AtomicUsize>) -> impl Fn(Job) -> Work + use<> {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (begun, dropped) = (Arc::clone(begun), Arc::clone(dropped));
    move |_job| {
        let (begun, guard) = (Arc::clone(&begun), Guard(Arc::clone(&dropped)));
        Box::pin(async move {
            let _guard = guard;
            begun.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        })
    }
}

#[test]
fn output_values_and_log_come_as_from_a_process() {
    let mut place = place(|job| {
        Box::pin(async move {
            job.note("asked");
            job.print(Stream::Output, b"half a ");
            job.print(Stream::Output, b"line\n");
            job.print(Stream::Error, b"no newline");
            let results = [("rows".to_string(), json!([1, 2]))];
            Ok(Done {
                output: Some(json!({"n": 2})),
                results: results.into_iter().collect(),
                ..Done::default()
            })
        })
    });
    let mut task = in_process("probe", json!({}));
    task.outputs = vec![
        ("n".to_string(), "{{ result.n }}".to_string()),
        ("last".to_string(), "{{ rows | last }}".to_string()),
    ];
    let (outcome, log) = place.run(task);
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    assert_eq!(value(&outcome, "return_value"), Some(&json!({"n": 2})));
    assert_eq!(value(&outcome, "n"), Some(&json!(2)));
    assert_eq!(value(&outcome, "last"), Some(&json!(2)));
    assert_eq!(texts(&log, NOTE), ["asked"]);
    assert_eq!(texts(&log, STDOUT), ["half a line"]);
    assert_eq!(texts(&log, STDERR), ["no newline"]);
}

#[test]
fn an_attempt_that_says_nothing_has_no_log() {
    let mut place = place(|_job| Box::pin(async { Ok(Done::default()) }));
    let attempt = place.launch(in_process("probe", json!({})));
    assert_eq!(place.outcome(attempt).verdict, Verdict::Success);
    assert!(!place.log_path(attempt).exists());
}

#[test]
fn a_panic_is_the_end_of_its_attempt_and_of_nothing_else() {
    let mut place = place(|job| {
        if job.text("x", "{{ params.region }}").unwrap() == "eu" {
            panic!("a bug that quotes hunter2");
        }
        Box::pin(async { Ok(Done::default()) })
    });
    let (outcome, log) = place.run(in_process("probe", json!({})));
    assert_eq!(outcome.verdict, Verdict::Failed);
    let message = outcome.message.unwrap();
    assert!(
        message.contains("panicked") && !message.contains("hunter2"),
        "{message}"
    );
    assert_eq!(texts(&log, NOTE), [message]);
    let (outcome, _) = place.run_shell("echo still here");
    assert_eq!(value(&outcome, "return_value"), Some(&json!("still here")));
}

#[test]
fn a_kill_ends_the_work_at_once_and_is_reported_with_its_reason() {
    let (begun, dropped) = (Arc::default(), Arc::default());
    let mut place = place(endless(&begun, &dropped));
    let attempt = place.launch(in_process("probe", json!({})));
    eventually("it has begun", || begun.load(Ordering::SeqCst) == 1);
    place.worker.kill(attempt, Reason::Cancelled);
    let outcome = place.outcome(attempt);
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert_eq!(outcome.reason, Some(Reason::Cancelled));
    assert_eq!(texts(&place.log(attempt), NOTE), ["killed: cancelled"]);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn all_of_them_end_when_everything_is_killed_or_the_worker_goes() {
    let (begun, dropped) = (Arc::default(), Arc::default());
    let mut place = place(endless(&begun, &dropped));
    for _ in 0..20 {
        place.launch(in_process("probe", json!({})));
    }
    place.worker.kill_all_now();
    let outcomes = place.outcomes(20);
    let interrupted = |reason: Option<Reason>| reason == Some(Reason::Interrupted);
    assert!(outcomes.values().all(|outcome| interrupted(outcome.reason)));
    // Those that ended before they began never will.
    let n_begun = begun.load(Ordering::SeqCst);
    place.launch(in_process("probe", json!({})));
    eventually("the last has begun", || {
        begun.load(Ordering::SeqCst) > n_begun
    });
    drop(place);
    eventually("all are gone", || {
        dropped.load(Ordering::SeqCst) == begun.load(Ordering::SeqCst)
    });
}

#[test]
fn execution_timeout_ends_it_in_the_same_words_as_a_process() {
    let (begun, dropped) = (Arc::default(), Arc::default());
    let mut place = place(endless(&begun, &dropped));
    let mut task = in_process("probe", json!({}));
    task.execution_timeout = Some(Duration::from_millis(20));
    let (outcome, log) = place.run(task);
    assert_eq!(outcome.reason, Some(Reason::TimedOut));
    assert_eq!(texts(&log, NOTE), ["killed after execution_timeout 20ms"]);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn what_it_hides_is_in_no_log_no_value_and_no_message() {
    let mut place = place(|job| {
        Box::pin(async move {
            job.hide(["hunter2".to_string()]);
            job.note("with hunter2");
            job.print(Stream::Output, b"hunt");
            job.print(Stream::Output, b"er2 and aHVudGVyMg==\n");
            if job.text("x", "{{ try_number }}")? == "2" && job.facts().map_index == -1 {
                return Ok(Done {
                    output: Some(json!({"deep": ["hunter2"]})),
                    ..Done::default()
                });
            }
            Err(Failure::refused("hunter2 was refused").into())
        })
    });
    let (outcome, log) = place.run(in_process("probe", json!({})));
    assert_eq!(
        value(&outcome, "return_value"),
        Some(&json!({"deep": ["***"]}))
    );
    assert_eq!(texts(&log, NOTE), ["with ***"]);
    assert_eq!(texts(&log, STDOUT), ["*** and ***"]);
}

#[test]
fn the_log_is_capped() {
    let operators = Operators::default().with("probe", |job| {
        Box::pin(async move {
            for n in 0..1000 {
                job.note(&format!("line {n}"));
            }
            Ok(Done::default())
        })
    });
    let mut place = Place::with(|options| {
        options.operators = operators;
        options.log_bytes_max = 500;
    });
    let (_, log) = place.run(in_process("probe", json!({})));
    assert!(log.len() < 20, "{} lines", log.len());
    let last = &log.last().unwrap().text;
    assert!(last.contains("the log is full at 500 bytes"), "{last}");
}

#[test]
fn failures_skips_and_refusals_are_told_apart() {
    let mut place = place(|job| {
        Box::pin(async move {
            match job.settings::<serde_json::Value>()?["how"].as_str() {
                Some("skip") => Err(End::Skipped("nothing new".to_string())),
                Some("large") => Ok(Done {
                    output: Some(json!("x".repeat(2 << 20))),
                    ..Done::default()
                }),
                _ => Err(Failure {
                    http_status: Some(404),
                    ..Failure::refused("not found").for_good()
                }
                .into()),
            }
        })
    });
    let (skipped, _) = place.run(in_process("probe", json!({"how": "skip"})));
    assert_eq!(skipped.verdict, Verdict::Skipped);
    assert_eq!(skipped.message.as_deref(), Some("nothing new"));
    let (large, _) = place.run(in_process("probe", json!({"how": "large"})));
    assert_eq!(large.reason, Some(Reason::BadOutput), "{:?}", large.message);
    let (failed, log) = place.run(in_process("probe", json!({"how": "fail"})));
    assert_eq!(
        (failed.http_status, failed.again),
        (Some(404), Some(Again::Never))
    );
    assert_eq!(texts(&log, NOTE), ["not found"]);
    let (unknown, _) = place.run(in_process("other", json!({})));
    assert_eq!(unknown.reason, Some(Reason::CouldNotStart));
    assert!(unknown.message.unwrap().contains("`other`"));
}

#[test]
fn conditions_are_looked_at_before_the_work_begins() {
    let mut place = place(|_job| panic!("must not be called"));
    let mut task = in_process("probe", json!({}));
    task.run_if = Some("{{ params.region == 'us' }}".to_string());
    let (outcome, _) = place.run(task);
    assert_eq!(outcome.verdict, Verdict::Skipped);
}

#[test]
fn an_http_request_is_sent_and_its_answer_becomes_the_output() {
    let server = HttpServer::new(|seen| {
        assert_eq!(seen.method, "POST");
        answer(
            200,
            &[("content-type", "application/json")],
            r#"{"n": [1, 2]}"#,
        )
    });
    let mut place = Place::new();
    let settings = json!({
        "url": server.url("/{{ params.region }}?x=1"), "method": "POST", "body": "{{ ds }}",
        "headers": { "X-Try": "{{ try_number }}" },
        "response_filter": "{{ response.json.n }}",
    });
    let (outcome, log) = place.run(in_process("http", settings));
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    assert_eq!(value(&outcome, "return_value"), Some(&json!([1, 2])));
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].path.as_str()), (1, "/eu?x=1"));
    assert_eq!(seen[0].body, "2025-11-21");
    assert_eq!(seen[0].header("x-try"), Some("2"));
    assert!(texts(&log, NOTE)[0].ends_with("200 OK"), "{log:?}");
}

#[test]
fn an_answer_that_is_no_success_fails_with_its_status() {
    let server = HttpServer::new(|_| answer(503, &[], "busy"));
    let mut place = Place::new();
    let (outcome, _) = place.run(in_process("http", json!({ "url": server.url("/") })));
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert_eq!(outcome.http_status, Some(503));
    assert!(outcome.message.unwrap().contains("503"));
}
