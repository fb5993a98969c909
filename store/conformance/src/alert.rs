//! Alerts.

use crate::sample::Scene;
use serde_json::json;
use tidemill_model::Ts;
use tidemill_store::*;

fn row(key: &str, at: i64) -> AlertRow {
    AlertRow {
        key: key.to_string(),
        at: Ts(at),
        body: json!({"what": ["ö", 1]}),
    }
}

fn keys(found: &[AlertRecord]) -> Vec<&str> {
    found.iter().map(|one| one.row.key.as_str()).collect()
}

pub(crate) async fn an_alert_is_told_once_and_tried_until_it_is_settled<S>(store: S)
where
    S: EngineStore + PageStore + AlertStore,
{
    let scene = Scene::new(store).await;
    let store = &scene.store;
    assert_eq!(store.next_alert().await.unwrap(), None);
    let pass = Pass {
        alerts: vec![row("b", 10), row("a", 20), row("c", 15)],
        ..scene.pass()
    };
    store.commit_pass(&pass).await.unwrap();
    let again = Pass {
        alerts: vec![row("b", 11)],
        ..scene.pass()
    };
    store.commit_pass(&again).await.unwrap();
    let due = store.alerts_due(Ts(19), 9).await.unwrap();
    assert_eq!(keys(&due), ["b", "c"]);
    assert_eq!((due[0].row.clone(), due[0].n_tries), (row("b", 10), 0));
    assert_eq!(keys(&store.alerts_due(Ts(19), 1).await.unwrap()), ["b"]);
    let settle = async |key: &str, end: AlertEnd, now: i64| {
        store.settle_alert(key, &end, Ts(now)).await.unwrap();
    };
    settle("b", AlertEnd::Again(Ts(40), "no\u{0}body".to_string()), 20).await;
    settle("c", AlertEnd::Sent, 20).await;
    settle("a", AlertEnd::GivenUp("never".to_string()), 20).await;
    assert_eq!(store.next_alert().await.unwrap(), Some(Ts(40)));
    assert_eq!(keys(&store.alerts_due(Ts(39), 9).await.unwrap()), [""; 0]);
    let due = store.alerts_due(Ts(40), 9).await.unwrap();
    assert_eq!(keys(&due), ["b"]);
    assert_eq!(
        (due[0].n_tries, due[0].error.as_deref()),
        (1, Some("no\u{0}body"))
    );
    // Settled ones are remembered for a while, so that they are not told again.
    let once_more = Pass {
        alerts: vec![row("c", 50)],
        ..scene.pass()
    };
    store.commit_pass(&once_more).await.unwrap();
    assert_eq!(keys(&store.alerts_due(Ts(60), 9).await.unwrap()), ["b"]);
    settle("b", AlertEnd::Sent, 21 + ALERT_KEPT_US).await;
    store.commit_pass(&once_more).await.unwrap();
    let due = store.alerts_due(Ts(22 + ALERT_KEPT_US), 9).await.unwrap();
    assert_eq!(keys(&due), ["c"]);
}
