//! Connections and variables.

use crate::sample::Scene;
use tidemill_model::Ts;
use tidemill_store::*;

fn connection(id: &str, at: i64) -> ConnectionRecord {
    ConnectionRecord {
        id: id.to_string(),
        conn_type: "postgres".to_string(),
        description: Some("für \u{0}alle".to_string()),
        host: Some("db".to_string()),
        port: Some(65535),
        login: None,
        schema: Some("dw".to_string()),
        password: Some(vec![0, 1, 254, 255]),
        extra: None,
        updated_at: Ts(at),
    }
}

fn variable(key: &str, at: i64) -> VariableRecord {
    VariableRecord {
        key: key.to_string(),
        description: None,
        is_marked: at > 1,
        value: vec![0, 7, 255],
        updated_at: Ts(at),
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_string()).collect()
}

pub(crate) async fn connections_and_variables_are_kept_by_name<S>(store: S)
where
    S: EngineStore + PageStore + OutsideStore,
{
    let store = Scene::new(store).await.store;
    assert_eq!(store.connections().await.unwrap(), []);
    assert_eq!(store.variables().await.unwrap(), []);
    let first = OutsideChange {
        connections: vec![connection("b", 1), connection("A'\"", 1)],
        variables: vec![variable("y y", 1), variable("x", 1)],
        ..OutsideChange::default()
    };
    store.change_outside(&first).await.unwrap();
    let both = [connection("A'\"", 1), connection("b", 1)];
    assert_eq!(store.connections().await.unwrap(), both);
    let asked = store.connections_named(&names(&["b", "nobody"])).await;
    assert_eq!(asked.unwrap(), [connection("b", 1)]);
    let asked = store.variables_named(&names(&["y y"])).await;
    assert_eq!(asked.unwrap(), [variable("y y", 1)]);
    let second = OutsideChange {
        forget_connections: names(&["b", "nobody"]),
        connections: vec![connection("A'\"", 2)],
        forget_variables: names(&["x", "y y"]),
        variables: vec![variable("x", 2)],
    };
    store.change_outside(&second).await.unwrap();
    assert_eq!(store.connections().await.unwrap(), [connection("A'\"", 2)]);
    assert_eq!(store.variables().await.unwrap(), [variable("x", 2)]);
}
