//! The example that extracts, transforms and loads: alone and under a server, with its numbers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use support::waiting::wait_for;
use support::{PATIENCE, Place, project, told};

/// 250 orders, of which every tenth was cancelled.
const KEPT: i64 = 225;

fn expected_cents() -> i64 {
    let paid = (1..=250).filter(|n| n % 10 != 0);
    paid.map(|n| (5 + n % 90) * 100 + n % 100).sum()
}

#[test]
fn it_runs_alone_and_its_retries_are_seen() {
    let place = Place::new();
    let file = project().join("dags/orders_elt/dag.toml");
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    let run: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    assert_eq!(run["state"], "success", "{run}");
    let task = |name: &str| {
        let all = run["task_instances"].as_array().unwrap();
        all.iter()
            .find(|one| one["task_id"] == name)
            .unwrap()
            .clone()
    };
    assert!(
        task("extract")["try_number"].as_i64().unwrap() >= 2,
        "the shop was busy once"
    );
    assert_eq!(task("extract")["output"]["items"], 250);
    assert_eq!(
        task("transform")["output"],
        json!({ "kept": KEPT, "dropped": 25 })
    );
    assert_eq!(task("load")["output"], json!({ "rows": KEPT }));
    let report = json!({ "n": KEPT, "regions": 3, "cents": expected_cents() });
    assert_eq!(task("report")["output"], report);
}

#[test]
fn it_runs_under_a_server() {
    let place = Place::new();
    let folder = place.dags().join("orders_elt");
    std::fs::create_dir(&folder).unwrap();
    for name in ["dag.toml", "shop.py", "tell.py", "transform.py"] {
        std::fs::copy(
            project().join("dags/orders_elt").join(name),
            folder.join(name),
        )
        .unwrap();
    }
    let server = place.serve();
    server.wait_for_dag("orders_elt");
    let told_to = place.folder().join("told");
    let param = format!("told={}", told_to.display());
    let params = ["--param", "orders=90", "--param", &param];
    let run = place.trigger("orders_elt", &params);
    assert_eq!(server.wait_for_end("orders_elt", &run)["state"], "success");
    let path = format!(
        "/api/v2/dags/orders_elt/dagRuns/{}/taskInstances/load/xcomEntries/return_value",
        support::http::escape(&run)
    );
    assert_eq!(server.body(&path)["value"], json!({ "rows": 81 }));
    let output = place.call(&["tasks", "logs", &format!("orders_elt/{run}"), "load"]);
    assert!(
        told(&output).contains("loaded 81 rows"),
        "{}",
        told(&output)
    );
    // The retry was told of when it happened, and the end when it came.
    let lines = wait_for("the alerts", PATIENCE, || {
        let text = std::fs::read_to_string(&told_to).ok()?;
        text.contains("on_success").then_some(text)
    });
    assert!(lines.contains("on_retry extract"), "{lines}");
}
