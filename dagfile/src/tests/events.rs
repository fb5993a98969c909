//! Webhooks and files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::good;
use std::time::Duration;
use tidemill_model::event::{EventSource, FileDrop, Signature, Webhook};

#[test]
fn webhooks_and_files_have_their_defaults_beside_streams() {
    let dag = good(
        "
[params]
region = ''
[triggers.hook]
run_id = 'from {{ trigger.json.region }}'
params = { region = '{{ trigger.json.region }}' }
webhook = { secret = 'orders_hook' }
[triggers.push]
enabled = false
webhook = { path = 'p', secret = 'conn.github.password', signature = 'github', max_bytes = '1MiB', replay_window = '1h', run_if = '{{ trigger.json.ref }}' }
[triggers.drop]
file = { path = '/data/in/*.csv', settle = '1m' }
[triggers.stream.kafka]
brokers = ['h:1']
topics = ['x']
[tasks]
t = 'echo {{ trigger.size | int }}'
",
    );
    let dag = dag.dag.unwrap();
    assert_eq!(dag.triggers.len(), 1);
    let [hook, push, drop] = dag.event_triggers.as_slice() else {
        panic!("{:?}", dag.event_triggers)
    };
    let of_hook = Webhook {
        path: "hook".to_string(),
        secret: "var.orders_hook".to_string(),
        signature: Signature::Standard,
        replay_window: Duration::from_secs(300),
        max_bytes: 256 << 10,
    };
    assert_eq!(hook.source, EventSource::Webhook(of_hook));
    assert_eq!((hook.is_enabled, hook.params.len()), (true, 1));
    let name = hook.run_id.as_deref();
    assert_eq!(name, Some("from {{ trigger.json.region }}"));
    let of_push = Webhook {
        path: "p".to_string(),
        secret: "conn.github.password".to_string(),
        signature: Signature::Github,
        replay_window: Duration::from_secs(3600),
        max_bytes: 1 << 20,
    };
    assert_eq!(push.source, EventSource::Webhook(of_push));
    assert_eq!((push.is_enabled, push.run_if.is_some()), (false, true));
    let of_drop = FileDrop {
        path: "/data/in/*.csv".to_string(),
        settle: Duration::from_secs(60),
        poke_interval: Duration::from_secs(5),
    };
    assert_eq!(drop.source, EventSource::File(of_drop));
}
