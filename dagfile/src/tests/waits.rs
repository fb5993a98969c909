//! What the keys of sensors and of `trigger_dag_run` become, and what is refused.

use super::{found, good};
use std::time::Duration;
use tidemill_model::dag::{External, ExternalTask, Match, TimeTarget, TriggerDagRun};
use tidemill_model::{Dag, Operator, RunState, TaskState, Ts};

fn operator(keys: &str) -> Operator {
    let dag = good(&format!(
        "[dag]\ntimezone = 'Europe/Paris'\n[tasks.before]\nshell = 'true'\n[tasks.t]\ndepends_on = 'before'\n{keys}\n"
    ));
    let dag: Dag = dag.dag.unwrap();
    dag.tasks[1].operator.clone()
}

fn external(keys: &str) -> ExternalTask {
    match operator(&format!("[tasks.t.external_task_sensor]\n{keys}")) {
        Operator::ExternalTaskSensor(sensor) => *sensor,
        other => panic!("{other:?}"),
    }
}

fn trigger(keys: &str) -> TriggerDagRun {
    match operator(&format!("[tasks.t.trigger_dag_run]\n{keys}")) {
        Operator::TriggerDagRun(trigger) => *trigger,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_time_sensor_comes_short_and_long() {
    let target = |keys: &str| match operator(keys) {
        Operator::TimeSensor(sensor) => (sensor.target, sensor.patience),
        other => panic!("{other:?}"),
    };
    let evening = TimeTarget::Daily(18 * 3600 + 30 * 60);
    let (found, patience) = target("time_sensor = '18:30'");
    assert_eq!(found, evening);
    assert_eq!(
        (patience.timeout, patience.soft_fail),
        (Duration::from_secs(604_800), false)
    );
    assert_eq!(target("[tasks.t.time_sensor]\nat = '18:30:00'").0, evening);
    let (found, patience) =
        target("[tasks.t.time_sensor]\nafter = '2h'\ntimeout = '3h'\nsoft_fail = true");
    assert_eq!(found, TimeTarget::After(Duration::from_secs(7_200)));
    assert_eq!(
        (patience.timeout, patience.soft_fail),
        (Duration::from_secs(10_800), true)
    );
    // An instant without an offset is read in the DAG's time zone.
    let noon: Ts = serde_json::from_str("\"2026-01-10T11:00:00Z\"").unwrap();
    let (found, _) = target("[tasks.t.time_sensor]\nat = 2026-01-10T12:00:00");
    assert_eq!(found, TimeTarget::At(noon));
}

#[test]
fn an_external_task_sensor_has_airflows_names_and_defaults() {
    let plain = external("dag_id = 'orders'");
    assert_eq!((plain.what, plain.matching), (External::Run, Match::Same));
    assert_eq!(plain.allowed, [TaskState::Success]);
    assert!(plain.skipped.is_empty() && plain.failed.is_empty() && !plain.check_existence);
    let full = external(
        "dag_id = 'orders'\ntask_ids = ['a', 'b']\nmatch = 'latest'\nexecution_delta = '1h'\nallowed_states = ['success', 'skipped']\nfailed_states = 'failed'\ncheck_existence = true\npoke_interval = '30s'",
    );
    assert_eq!(
        full.what,
        External::Tasks(vec!["a".to_string(), "b".to_string()])
    );
    assert_eq!(
        (full.matching, full.delta),
        (Match::Latest, Duration::from_secs(3_600))
    );
    assert_eq!(full.allowed, [TaskState::Success, TaskState::Skipped]);
    assert_eq!(full.failed, [TaskState::Failed]);
    let group = external("dag_id = 'orders'\ntask_group_id = 'load'");
    assert_eq!(group.what, External::Group("load".to_string()));
}

#[test]
fn a_run_to_start_has_airflows_names_and_defaults() {
    let plain = trigger("dag_id = 'publish'");
    assert!(!plain.waits && !plain.resets && !plain.skips_existing);
    assert_eq!((plain.conf, plain.logical_date), (None, None));
    assert_eq!(
        (plain.allowed, plain.failed),
        (vec![RunState::Success], vec![RunState::Failed])
    );
    let full = trigger(
        "dag_id = 'publish'\nconf = { day = '{{ ds }}', n = [1, '{{ tasks.before.output }}'] }\nlogical_date = '{{ logical_date }}'\nwait_for_completion = true\nreset_dag_run = true\nallowed_states = ['success', 'failed']\nfailed_states = []",
    );
    assert!(full.waits && full.resets);
    let conf = full.conf.unwrap();
    assert_eq!(conf["n"][1], "{{ tasks.before.output }}");
    assert_eq!(full.allowed, [RunState::Success, RunState::Failed]);
    assert!(full.failed.is_empty());
}

#[test]
fn what_says_too_little_or_too_much_is_refused() {
    for (keys, expected) in [
        ("time_sensor = '25:00'", "TM0103"),
        ("time_sensor = {}", "TM0149"),
        ("time_sensor = { at = '18:30', after = '1h' }", "TM0149"),
        ("external_task_sensor = {}", "TM0102"),
        ("external_task_sensor = 'orders'", "TM0101"),
        ("external_task_sensor = { dag_id = 'a b' }", "TM0107"),
        (
            "external_task_sensor = { dag_id = 'x', task_id = 'a', task_group_id = 'b' }",
            "TM0149",
        ),
        (
            "external_task_sensor = { dag_id = 'x', allowed_states = ['skipped'] }",
            "TM0103",
        ),
        (
            "external_task_sensor = { dag_id = 'x', failed_states = ['success'] }",
            "TM0149",
        ),
        (
            "external_task_sensor = { dag_id = 'x', match = 'newest' }",
            "TM0103",
        ),
        ("trigger_dag_run = { conf = { } }", "TM0102"),
        ("trigger_dag_run = { dag_id = 'x', conf = 1 }", "TM0101"),
        ("trigger_dag_run = { dag_id = '{{ nothing }}' }", "TM0202"),
        (
            "trigger_dag_run = { dag_id = 'x', conf = { a = ['{{ nothing }}'] } }",
            "TM0202",
        ),
    ] {
        let found = found(&format!("[tasks.t]\n{keys}\n"));
        let codes: Vec<&str> = found.iter().map(|one| &one[..6]).collect();
        assert_eq!(codes, [expected], "{keys}");
    }
}
