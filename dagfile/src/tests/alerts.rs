//! Alerts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::good;

#[test]
fn alerts_of_a_task_stand_over_the_defaults_event_by_event() {
    let dag = good("
[dag]
on_failure = [{ slack = '#data', text = '{{ dag.dag_id }} {{ state }}' }]
[default_args]
on_failure = [{ email = 'a@b.example' }]
on_retry = [{ webhook = 'https://x', json = { n = '{{ try_number }}' } }]
[tasks.a]
shell = 'true'
on_failure = [{ shell = './page.sh' }, { email = ['a@b.example', 'c@d.example'], subject = '{{ exception }}' }]
[tasks.b]
shell = 'true'
on_retry = []
").dag.unwrap();
    let shown = |alerts: &[tidemill_model::alert::Alert]| -> Vec<String> {
        let one =
            |alert: &tidemill_model::alert::Alert| format!("{} {}", alert.on, alert.channel.name());
        alerts.iter().map(one).collect()
    };
    assert_eq!(shown(&dag.alerts), ["on_failure slack"]);
    let a = ["on_failure shell", "on_failure email", "on_retry webhook"];
    assert_eq!(shown(&dag.tasks[0].alerts), a);
    assert_eq!(shown(&dag.tasks[1].alerts), ["on_failure email"]);
}

#[test]
fn deadlines_say_from_when_they_count_and_whom_they_tell() {
    use std::time::Duration;
    use tidemill_model::alert::Since;
    let dag = good(
        "
[[dag.deadlines]]
interval = '1h'
notify = [{ slack = '#data', text = '{{ run_id }} {{ exception }}' }, { email = 'a@b.example' }]
[[dag.deadlines]]
reference = 'average_runtime'
interval = '10m'
notify = [{ shell = './page.sh' }]
[tasks]
t = 'true'
",
    );
    let dag = dag.dag.unwrap();
    let shown: Vec<_> = dag
        .deadlines
        .iter()
        .map(|one| (one.since, one.interval, one.alerts.len()))
        .collect();
    let (hour, minutes) = (Duration::from_secs(3600), Duration::from_secs(600));
    let want = [
        (Since::QueuedAt, hour, 2),
        (Since::AverageRuntime, minutes, 1),
    ];
    assert_eq!(shown, want);
}
