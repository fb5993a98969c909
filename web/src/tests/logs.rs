//! Large logs: any part of them, what is found in them, the whole of them; in both of their forms.

use super::fixture::{Fixture, Got, fixture};
use super::{get, request, send};
use crate::router;
use axum::body::Body;
use serde_json::Value;

const LINES: usize = 40_000;

/// The log of `greet` in run `one` with many lines, stored as frames where that is wanted.
async fn with_log(is_stored: bool) -> Fixture {
    let fixture = fixture().await;
    let folder = fixture.logs.path().join("1");
    let path = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::remove_file(&path).unwrap();
    let mut writer = tidemill_log::Writer::open(&path).unwrap();
    let text: String = (0..LINES)
        .map(|n| format!("2026-11-21T06:04:10.000000Z O line {n} \u{1b}[1m<b>ale\u{1b}[0mrt\n"))
        .collect();
    writer.write(text.as_bytes()).unwrap();
    writer.finish().unwrap();
    if is_stored {
        tidemill_log::store(&path).unwrap();
        assert!(!path.exists());
    }
    fixture
}

const TASK: &str = "/dags/hello/runs/one/tasks/greet";

/// The address behind the first link whose text is so.
fn link(page: &str, text: &str) -> String {
    let end = page.find(&format!("\">{text}</a>")).unwrap();
    let start = page[..end].rfind("href=\"").unwrap() + 6;
    page[start..end].replace("&amp;", "&").replace("&#38;", "&")
}

#[tokio::test]
async fn both_forms_of_a_log_make_the_same_pages() {
    let (plain, stored) = (with_log(false).await, with_log(true).await);
    for path in [
        "",
        "/log?from=0",
        "/raw",
        "/lines",
        "/lines?at=1000000",
        "/lines?q=line+77",
    ] {
        let path = format!("{TASK}{path}");
        let (one, other) = (get(&plain, &path).await, get(&stored, &path).await);
        assert_eq!((one.status, other.status), (200, 200), "{path}");
        // Around the log of a page stand times that go on.
        let log = |got: &Got| {
            let text = got.text.split_once("<pre class=\"log\"");
            let (_, text) = text.unwrap_or(("", &got.text));
            text.split("</pre>").next().map(str::to_string)
        };
        assert!(log(&one) == log(&other), "{path}");
    }
    let raw = get(&stored, &format!("{TASK}/raw")).await;
    assert_eq!(raw.text.lines().count(), LINES);
    assert!(raw.text.contains('\u{1b}'), "as the task wrote it");
}

#[tokio::test]
async fn from_the_gap_of_a_long_log_its_middle_is_one_click_away() {
    let fixture = with_log(true).await;
    let page = get(&fixture, TASK).await.text;
    assert!(
        page.contains("line 499 ") && !page.contains("line 500 ") && page.contains("line 39999 ")
    );
    let next = get(&fixture, &link(&page, "the next lines")).await.text;
    assert!(
        next.contains("line 499 ") && next.contains("line 500 ") && next.contains("line 3000 ")
    );
    assert!(!next.contains('\u{1b}') && !next.contains("<b>"));
    let middle = get(&fixture, &link(&page, "the middle")).await.text;
    assert!(middle.contains("line 20000 "));
    let later = get(&fixture, &link(&middle, "later")).await.text;
    assert!(later.contains("line 25000 "));
    let end = get(&fixture, &link(&middle, "end")).await.text;
    assert!(end.contains("line 39999 "));
}

#[tokio::test]
async fn a_search_finds_lines_as_they_are_seen_and_leads_to_their_place() {
    let fixture = with_log(true).await;
    let page = get(&fixture, &format!("{TASK}/lines?q=LINE+31234+%3Cb%3Ealert"))
        .await
        .text;
    assert!(
        page.contains("1 lines") && page.contains("line 31234 "),
        "{page}"
    );
    let start = page.find("class=\"hit\" href=\"").unwrap() + 18;
    let url = page[start..]
        .split('"')
        .next()
        .unwrap()
        .replace("&amp;", "&")
        .replace("&#38;", "&");
    let place = get(&fixture, url.split('#').next().unwrap()).await.text;
    let marked = place.split("<span id=\"at\"></span>").nth(1).unwrap();
    let first = marked.split("</span>\n").next().unwrap_or(marked);
    assert!(first.contains("line 31234 "), "{first:.200}");
    let wrong = get(&fixture, &format!("{TASK}/lines?q=%28&re=1"))
        .await
        .text;
    assert!(wrong.contains("unclosed group"), "{wrong}");
    let none = get(&fixture, &format!("{TASK}/lines?q=no+such+words"))
        .await
        .text;
    assert!(none.contains("0 lines") && !none.contains("Search on"));
}

#[tokio::test]
async fn a_search_with_many_hits_goes_on_where_it_stopped() {
    let fixture = with_log(true).await;
    let page = get(&fixture, &format!("{TASK}/lines?q=alert")).await.text;
    assert_eq!(page.matches("class=\"hit\"").count(), 200);
    let next = get(&fixture, &link(&page, "Search on")).await.text;
    assert!(
        next.contains("line 200 ") && next.contains("line 399 ") && !next.contains("line 199 ")
    );
}

#[tokio::test]
async fn the_api_searches_page_by_page() {
    let fixture = with_log(true).await;
    let path = "/api/tidemill/v1/dags/hello/dagRuns/one/taskInstances/greet/logs/1/search";
    let ask = async |query: &str| -> (u16, Value) {
        let asked = request("GET", &format!("{path}?{query}"))
            .body(Body::empty())
            .unwrap();
        let got = send(&router::socket(fixture.web.clone()), asked).await;
        (got.status, serde_json::from_str(&got.text).unwrap())
    };
    let (mut from, mut seen) = (0, 0);
    loop {
        let (status, found) = ask(&format!("q=line+%5Cd%2B7+&re=true&from={from}")).await;
        assert_eq!(status, 200);
        seen += found["matches"].as_array().unwrap().len();
        from = found["next"].as_u64().unwrap();
        if found["done"] == true {
            break;
        }
    }
    assert_eq!(seen, LINES / 10 - 1);
    for wrong in ["q=", "q=%28&re=true", "q=x&from=y", "q=x&re=perhaps"] {
        assert_eq!(ask(wrong).await.0, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_damaged_log_is_told_in_its_place_and_the_rest_of_the_page_is_there() {
    let fixture = with_log(true).await;
    let folder = std::fs::read_dir(fixture.logs.path().join("1")).unwrap();
    for file in folder.flatten() {
        std::fs::remove_file(file.path()).unwrap();
        std::fs::write(file.path(), "no frames, but more bytes than a footer has").unwrap();
    }
    let page = get(&fixture, TASK).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("this log cannot be read now") && page.text.contains("damaged"),
        "{}",
        page.text
    );
    assert_eq!(get(&fixture, &format!("{TASK}/lines")).await.status, 500);
}
