//! The form that makes a run.

use super::fixture::fixture;
use super::{get, post};
use tidemill_store::Command;

#[tokio::test]
async fn the_trigger_form_says_what_is_wrong_by_field() {
    let fixture = fixture().await;
    let form = get(&fixture, "/dags/hello/trigger").await;
    assert!(form.text.contains("Europe/Paris") && form.text.contains("p.days"));
    let wrong = post(
        &fixture,
        "/dags/hello/trigger",
        "p.days=0&p.currency=%22EUR%22&logical_date=soon",
    )
    .await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("minimum of 1") && wrong.text.contains("is not a date"));
    assert!(fixture.asked.lock().unwrap().is_empty());
    let conflict = post(&fixture, "/dags/hello/trigger", "run_id=one").await;
    assert_eq!(conflict.status, 409);
    assert!(conflict.text.contains("already"));
    let body = "p.days=9&p.currency=%22USD%22&p.full=false&logical_date=2026-11-20T06%3A00";
    assert_eq!(
        post(&fixture, "/dags/hello/trigger", body).await.headers["location"],
        "/dags/hello/runs/two"
    );
    let asked = fixture.asked.lock().unwrap();
    let Command::Trigger {
        conf, logical_date, ..
    } = asked.last().unwrap()
    else {
        panic!("{asked:?}")
    };
    assert_eq!(
        serde_json::json!(conf),
        serde_json::json!({ "currency": "USD", "days": 9 })
    );
    assert_eq!(logical_date.unwrap().to_string(), "2026-11-20T05:00:00Z");
}

#[tokio::test]
async fn the_trigger_form_asks_for_a_date_and_a_time_before_which_the_run_does_not_begin() {
    let fixture = fixture().await;
    let path = "/dags/hello/trigger";
    let wrong = post(&fixture, path, "logical_date=none&run_after=later").await;
    assert_eq!(wrong.status, 422);
    let field = wrong
        .text
        .split("name=\"run_after\" value=\"later\"")
        .nth(1);
    let field = field.unwrap().split("</div>").next().unwrap();
    assert!(field.contains("is not a date"), "{field}");
    assert!(fixture.asked.lock().unwrap().is_empty());

    let before = crate::view::now();
    post(&fixture, path, "run_after=2026-11-20T22%3A00").await;
    post(&fixture, path, "logical_date=none").await;
    let asked = fixture.asked.lock().unwrap();
    let dates = asked.iter().map(|command| match command {
        Command::Trigger {
            logical_date,
            run_after,
            ..
        } => (*logical_date, *run_after),
        other => panic!("{other:?}"),
    });
    let [(now, later), none] = dates.collect::<Vec<_>>()[..] else {
        panic!("{asked:?}")
    };
    assert!(now.unwrap() >= before, "an empty date is the present");
    assert_eq!(later.unwrap().to_string(), "2026-11-20T21:00:00Z");
    assert_eq!(none, (None, None));
}
