//! The pages in a real browser: headless Chromium logs in by the one-time link and reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use support::browser::{Browser, page};
use support::{Place, http, stdout};

const FAILS: &str = "[tasks]\nbreaks = 'echo the mill has stopped >&2; exit 3'\n\
                     [tasks.after]\ndepends_on = ['breaks']\nshell = 'true'\n";

#[test]
fn a_browser_logs_in_by_the_link_and_finds_the_last_lines_of_a_failed_task() {
    let place = Place::new();
    place.write_dag("mill.toml", FAILS);
    let server = place.serve();
    server.wait_for_dag("mill");
    let run = place.trigger("mill", &[]);
    assert_eq!(server.wait_for_end("mill", &run)["state"], "failed");

    let (browser, dags) = Browser::of(&place);
    assert!(dags.contains("/dags/mill") && dags.contains('✗'), "{dags}");

    let found = browser.page(&format!("/dags/mill/runs/{}", http::escape(&run)));
    assert!(found.contains("the mill has stopped"), "{found}");
    assert!(found.contains("upstream_failed"), "{found}");
}

#[test]
fn a_browser_without_the_link_sees_no_page() {
    let place = Place::new();
    place.write_dag("mill.toml", FAILS);
    let server = place.serve();
    server.wait_for_dag("mill");
    let link = stdout(&place.call(&["login-link"])).trim().to_string();
    let base = link.split("/login").next().unwrap().to_string();
    let shown = page(&place.folder().join("chromium"), &format!("{base}/dags"));
    assert!(
        shown.contains("login-link") && !shown.contains("mill.toml"),
        "{shown}"
    );
}

#[test]
fn a_browser_that_asks_for_a_mapped_task_is_shown_its_instances() {
    let place = Place::new();
    let text = "[tasks.many]\nexpand = { word = ['grain', 'flour'] }\nshell = 'true'\n";
    place.write_dag("mill.toml", text);
    let server = place.serve();
    server.wait_for_dag("mill");
    let run = place.trigger("mill", &[]);
    assert_eq!(server.wait_for_end("mill", &run)["state"], "success");
    let (browser, _) = Browser::of(&place);
    let task = format!("/dags/mill/runs/{}/tasks/many", http::escape(&run));
    let found = browser.page(&task);
    for index in 0..2 {
        assert!(
            found.contains(&format!("/tasks/many?map_index={index}\"")),
            "{found}"
        );
    }
    let none = browser.page(&format!("{task}s"));
    assert!(none.contains("no task of this run"), "{none}");
}

/// Colours, and what means harm: markup, a title, a link, a bell, a backspace, a turned direction,
/// what makes a terminal write, and signs that are no text.
const LOUD: &str = r#"[tasks]
loud = """
printf 'a \\033[1;31mred\\033[0m word\\n'
printf '<script>document.title="taken"</script><img src=x onerror=alert(1)>\\n'
printf '\\033]0;taken\\007\\033]8;;javascript:alert(1)\\007link\\033]8;;\\007 \\033[2J\\033[5n\\b\\000\\377 \\342\\200\\256turned\\n'
printf '\\033[44mblue to the end of its line\\nnot this one\\n'
"""
"#;

#[test]
fn a_browser_shows_the_colours_of_a_log_and_nothing_of_what_means_harm() {
    let place = Place::new();
    place.write_dag("loud.toml", LOUD);
    let server = place.serve();
    server.wait_for_dag("loud");
    let run = place.trigger("loud", &[]);
    assert_eq!(server.wait_for_end("loud", &run)["state"], "success");
    let raw = place.call(&["tasks", "logs", &format!("loud/{run}"), "loud", "--raw"]);
    let raw = stdout(&raw);
    assert!(raw.contains("\u{1b}[1;31mred") && raw.contains("\u{1b}]8;;javascript"));

    let (browser, _) = Browser::of(&place);
    let task = format!("/dags/loud/runs/{}/tasks/loud", http::escape(&run));
    for path in [
        task.clone(),
        format!("{task}/lines"),
        format!("{task}/lines?q=e"),
    ] {
        let page = browser.page(&path);
        let log = page.split("<pre class=\"log\"").nth(1).unwrap();
        let log = log.split("</pre>").next().unwrap();
        for part in [
            "a <span class=\"ab fg1\">red</span> word",
            "&lt;script&gt;document.title=",
            "link ␈␀\u{fffd} \u{fffd}turned",
            "<span class=\"bg4\">blue to the end of its line</span>",
        ] {
            assert!(log.contains(part), "{path}: {part} in {log}");
        }
        for part in ["<script", "<img", "\u{1b}", "javascript:", "\u{202e}"] {
            assert!(!log.contains(part), "{path}: {part} in {log}");
        }
        assert!(!page.contains("<title>taken"), "{path}");
    }
    let style = browser.page("/static/tidemill.css");
    assert!(style.contains(".log .fg1 {") && style.contains(".log .bg4 {"));
}
