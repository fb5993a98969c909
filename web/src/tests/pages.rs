//! Pages: what they show, and that they trust nothing.

use super::fixture::{HOSTILE, add_dag, dag, fixture, run_row, task_row};
use super::{get, post};
use crate::router::PAGES;
use tidemill_model::{RunState, TaskState};
use tidemill_store::{Command, EngineStore, Pass, PoolChange, Reach, RunRow};

/// Pages that are whole documents.
fn documents() -> impl Iterator<Item = &'static str> {
    let others = ["/events", "/metrics", "/log", "/raw"];
    let wanted = move |path: &str| {
        !others.iter().any(|end| path.ends_with(end)) && !path.contains("/export/")
    };
    PAGES
        .iter()
        .filter(|(method, _)| *method == "GET")
        .map(|(_, path)| *path)
        .filter(move |path| wanted(path))
}

#[tokio::test]
async fn every_page_is_whole_and_trusts_no_text() {
    let fixture = fixture().await;
    let more = [
        "/dags/hello/runs/thirty",
        "/dags/hello/runs/queued",
        "/dags/hello/runs/two/tasks/greet",
    ];
    for path in documents().chain(more) {
        let got = get(&fixture, path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text);
        assert!(got.text.trim_end().ends_with("</html>"), "{path}");
        assert!(!got.text.contains("<script>"), "{path}");
        assert!(!got.text.contains(HOSTILE), "{path}");
        assert!(!got.text.contains(" style=\""), "{path}");
        assert!(!got.text.contains('\u{1b}'), "{path}");
        assert_eq!(got.text.matches("<h1").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn every_link_of_every_page_leads_somewhere() {
    let fixture = fixture().await;
    let mut links = std::collections::BTreeSet::new();
    for path in documents() {
        let got = get(&fixture, path).await;
        let hrefs = got
            .text
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        let of_site = hrefs.filter(|href| href.starts_with('/'));
        links.extend(of_site.map(|href| {
            href.split('#')
                .next()
                .unwrap_or_default()
                .replace("&#38;", "&")
                .replace("&amp;", "&")
        }));
    }
    for link in links {
        let got = get(&fixture, &link).await;
        let may_be_missing = got.status == 404 && link.contains("/raw");
        assert!(
            got.status == 200 || may_be_missing,
            "{link}: {}",
            got.status
        );
    }
}

#[tokio::test]
async fn from_the_list_to_the_last_log_lines_it_is_one_click() {
    let fixture = fixture().await;
    let got = get(&fixture, "/dags/hello/runs/one").await;
    let failure = got.text.find("class=\"failure\"").unwrap();
    assert!(failure < got.text.find("class=\"tasks\"").unwrap());
    assert!(got.text.contains("connecting"));
    assert!(got.text.contains("command not found"));
    assert!(got.text.contains("exit 127"));
    let list = get(&fixture, "/").await;
    assert!(list.text.contains("href=\"/dags/hello/runs/one\""));
    assert!(
        list.text.contains("unknown key"),
        "mistakes in files are shown"
    );
}

#[tokio::test]
async fn a_log_is_followed_by_byte() {
    let fixture = fixture().await;
    let path = "/dags/hello/runs/one/tasks/greet/log?from=0";
    let got = get(&fixture, path).await;
    let lines: Vec<serde_json::Value> = got
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["stream"], "T");
    assert_eq!(got.headers["x-done"], "true");
    let rest = get(
        &fixture,
        &format!(
            "/dags/hello/runs/one/tasks/greet/log?from={}",
            got.headers["x-next"]
        ),
    )
    .await;
    assert_eq!(rest.text, "");
    let html = get(&fixture, &format!("{path}&as=html")).await;
    assert!(html.text.contains("connecting") && !html.text.contains("<script>"));
    let raw = get(&fixture, "/dags/hello/runs/one/tasks/greet/raw").await;
    assert!(raw.headers["content-type"].starts_with("text/plain"));
    assert!(raw.text.contains(HOSTILE));
}

#[tokio::test]
async fn forms_ask_the_engine() {
    let fixture = fixture().await;
    assert_eq!(
        post(&fixture, "/dags/hello/pause", "paused=true&back=dag")
            .await
            .headers["location"],
        "/dags/hello"
    );
    assert_eq!(
        post(&fixture, "/dags/hello/runs/thirty/cancel", "")
            .await
            .status,
        303
    );
    assert_eq!(
        post(&fixture, "/dags/hello/runs/thirty/mark", "state=failed")
            .await
            .status,
        303
    );
    assert_eq!(
        post(
            &fixture,
            "/dags/hello/runs/one/tasks/greet/mark",
            "state=success"
        )
        .await
        .status,
        303
    );
    let asked = fixture.asked.lock().unwrap();
    assert!(matches!(&asked[0], Command::SetPaused { paused: true, .. }));
    assert!(matches!(&asked[1], Command::Cancel { run_id, .. } if run_id == "thirty"));
    assert!(matches!(
        &asked[2],
        Command::MarkRun {
            state: RunState::Failed,
            ..
        }
    ));
    assert!(
        matches!(&asked[3], Command::MarkTasks { reach, state: TaskState::Success, .. } if reach.tasks[0].0 == "greet")
    );
}

#[tokio::test]
async fn a_mark_that_makes_no_sense_is_refused() {
    let fixture = fixture().await;
    assert_eq!(
        post(&fixture, "/dags/hello/runs/one/mark", "state=running")
            .await
            .status,
        422
    );
    assert_eq!(
        post(
            &fixture,
            "/dags/hello/runs/one/tasks/greet/mark",
            "state=none"
        )
        .await
        .status,
        422
    );
    assert!(fixture.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn clearing_shows_the_list_first_and_again_when_it_has_changed() {
    let fixture = fixture().await;
    let path = "/dags/hello/runs/one/clear";
    let got = get(&fixture, &format!("{path}?only_failed=1&downstream=1")).await;
    assert!(got.text.contains("Clear 2 tasks"));
    assert!(got.text.contains("greet") && got.text.contains("join"));
    assert_eq!(
        post(&fixture, path, "only_failed=1&downstream=1&seen=5")
            .await
            .status,
        409
    );
    let dry = |command: &Command| matches!(command, Command::Clear { dry_run: true, .. });
    assert!(fixture.asked.lock().unwrap().iter().all(dry));
    assert_eq!(
        post(&fixture, path, "only_failed=1&downstream=1&seen=2")
            .await
            .status,
        303
    );
    let asked = fixture.asked.lock().unwrap();
    let last = asked.last().unwrap();
    assert!(
        matches!(
            last,
            Command::Clear {
                dry_run: false,
                only_failed: true,
                reach: Reach {
                    downstream: true,
                    ..
                },
                ..
            }
        ),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_wrong_name_gets_the_near_one() {
    let fixture = fixture().await;
    for (path, near) in [
        ("/dags/helo", "hello"),
        ("/dags/hello/runs/on", "one"),
        ("/dags/hello/runs/one/tasks/gret", "greet"),
    ] {
        let got = get(&fixture, path).await;
        assert_eq!(got.status, 404, "{path}");
        assert!(
            got.text.contains(&format!("did you mean {near}")),
            "{path}: {}",
            got.text
        );
    }
}

#[tokio::test]
async fn a_run_that_waits_has_tasks_without_rows() {
    let fixture = fixture().await;
    let got = get(&fixture, "/dags/hello/runs/queued").await;
    assert_eq!(
        got.text.matches("not yet").count(),
        4,
        "three rows and one count"
    );
}

#[tokio::test]
async fn a_huge_dag_has_small_pages() {
    let fixture = fixture().await;
    let n = 20_000;
    let names: Vec<String> = (0..n).map(|at| format!("t{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let huge = dag("huge", &names, (1..n).map(|at| (at - 1, at)).collect());
    let stored = add_dag(&fixture.store, &fixture.web.definitions, huge).await;
    let run = run_row(&stored, 100, "big", RunState::Failed);
    let rows = stored.task_nos.iter().enumerate();
    let state = |at: usize| {
        if at == 15_000 {
            TaskState::Failed
        } else {
            TaskState::Success
        }
    };
    let tasks = rows
        .map(|(at, no)| task_row(&run, *no, state(at)))
        .collect();
    let pass = Pass {
        term: 1,
        new_runs: vec![run],
        tasks,
        ..Pass::default()
    };
    fixture.store.commit_pass(&pass).await.unwrap();
    let paths = [
        "/dags/huge",
        "/dags/huge?offset=19000",
        "/dags/huge/graph",
        "/dags/huge/runs/big",
        "/dags/huge/trigger",
    ];
    for path in paths {
        let got = get(&fixture, path).await;
        assert_eq!(got.status, 200, "{path}");
        assert!(got.text.len() < 1_000_000, "{path}: {}", got.text.len());
        assert!(!got.text.contains("class=\"edge\""), "{path}");
    }
    assert!(
        get(&fixture, "/dags/huge/runs/big")
            .await
            .text
            .contains("t15000")
    );
    assert!(
        get(&fixture, "/dags/huge?offset=19000")
            .await
            .text
            .contains("t19999")
    );
}

#[tokio::test]
async fn a_wide_run_is_read_by_pages_and_says_the_same() {
    let fixture = fixture().await;
    let n = 6_000;
    let names: Vec<String> = (0..n).map(|at| format!("t{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wide = dag("wide", &names, Vec::new());
    let stored = add_dag(&fixture.store, &fixture.web.definitions, wide).await;
    let over = run_row(&stored, 100, "over", RunState::Failed);
    let going = run_row(&stored, 101, "going", RunState::Running);
    let of = |run: &RunRow, at: usize, state| task_row(run, stored.task_nos[at], state);
    let mut tasks: Vec<_> = (0..n as usize)
        .map(|at| of(&over, at, TaskState::Success))
        .collect();
    tasks[5_500].state = TaskState::Failed;
    tasks.extend((0..10).map(|at| of(&going, at * 7, TaskState::Running)));
    let pass = Pass {
        term: 1,
        new_runs: vec![over, going],
        tasks,
        ..Pass::default()
    };
    fixture.store.commit_pass(&pass).await.unwrap();
    let page = async |path: &str| get(&fixture, path).await.text;
    let text = page("/dags/wide/runs/over").await;
    assert!(
        text.contains("5999 success") && text.contains("1 failed"),
        "{text}"
    );
    assert!(text.contains("t5500"), "what failed comes first");
    let text = page("/dags/wide/runs/over?state=success&offset=5500").await;
    assert!(text.contains("t5999") && !text.contains("t10<"), "{text}");
    let text = page("/dags/wide/runs/going").await;
    assert!(
        text.contains("10 running") && text.contains("5990 "),
        "{text}"
    );
    assert!(
        page("/dags/wide/runs/going/tasks/t3")
            .await
            .contains("It has not started yet")
    );
    for path in ["/dags/wide", "/dags/wide/graph"] {
        let text = page(path).await;
        assert!(text.contains("running") && text.contains("t999"), "{path}");
    }
    let list = async |query: &str| {
        let path = format!("/api/v2/dags/wide/dagRuns/{query}");
        let body: serde_json::Value = serde_json::from_str(&page(&path).await).unwrap();
        let found = body["task_instances"].as_array().unwrap().clone();
        let ids = found
            .iter()
            .map(|one| one["task_id"].as_str().unwrap().to_string());
        (
            body["total_entries"].as_i64().unwrap(),
            ids.collect::<Vec<_>>(),
        )
    };
    let (total, ids) = list("over/taskInstances?limit=2&offset=5998").await;
    assert_eq!(
        (total, ids),
        (6_000, vec!["t5998".to_string(), "t5999".to_string()])
    );
    let (total, ids) = list("over/taskInstances?state=failed").await;
    assert_eq!((total, ids), (1, vec!["t5500".to_string()]));
    let (total, ids) = list("going/taskInstances?limit=1&offset=1").await;
    assert_eq!(
        (total, ids),
        (6_000, vec!["t1".to_string()]),
        "rows and blanks in one order"
    );
    let (total, _) = list("going/taskInstances?state=running").await;
    assert_eq!(total, 10);
}

#[test]
fn the_sample_of_the_empty_list_is_right() {
    let loaded = tidemill_dagfile::load(crate::page::dags::SAMPLE.as_bytes(), "hello");
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.dag.map(|dag| dag.tasks.len()), Some(2));
}

#[tokio::test]
async fn pools_are_shown_with_who_holds_them_and_set_by_forms() {
    let fixture = fixture().await;
    let got = get(&fixture, "/admin/pools").await;
    assert!(
        got.text.contains("hello/one/greet (2 slots)"),
        "{}",
        got.text
    );
    assert!(got.text.contains("and 3 more"), "{}", got.text);
    let form = "name=api&slots=4&description=calls&include_deferred=1";
    assert_eq!(post(&fixture, "/admin/pools", form).await.status, 303);
    let got = post(&fixture, "/admin/pools/api", "do=set&slots=5&description=").await;
    assert_eq!(got.status, 303);
    assert_eq!(
        post(&fixture, "/admin/pools/api", "do=delete").await.status,
        303
    );
    let wrong = post(&fixture, "/admin/pools/api", "do=set&slots=many").await;
    assert_eq!(wrong.status, 422);
    let asked = fixture.asked.lock().unwrap();
    let change = |slots: i64, description: &str, include_deferred: bool| PoolChange {
        slots: Some(slots),
        description: Some(description.to_string()),
        include_deferred: Some(include_deferred),
    };
    let sets: Vec<_> = asked
        .iter()
        .filter_map(|command| match command {
            Command::SetPool {
                name,
                change,
                is_new,
            } => Some((name.as_str(), change, *is_new)),
            _ => None,
        })
        .collect();
    assert_eq!(sets[0], ("api", &change(4, "calls", true), Some(true)));
    assert_eq!(sets[1], ("api", &change(5, "", false), Some(false)));
    assert!(
        asked
            .iter()
            .any(|one| matches!(one, Command::DeletePool { name } if name == "api"))
    );
}

#[tokio::test]
async fn a_waiting_task_shows_what_it_waits_for() {
    let fixture = fixture().await;
    for path in [
        "/dags/hello/runs/queued/tasks/greet",
        "/dags/hello/runs/queued/tasks/greet/why",
        "/dags/hello/runs/queued/why",
        "/dags/hello/why",
    ] {
        let got = get(&fixture, path).await;
        assert!(
            got.text.contains("2 of 2 slots are taken"),
            "{path}: {}",
            got.text
        );
        assert!(got.text.contains("hello/one/greet (2 slots)"), "{path}");
    }
    let over = get(&fixture, "/dags/hello/runs/two/tasks/greet").await;
    assert!(!over.text.contains("2 of 2 slots"), "it is over");
}
