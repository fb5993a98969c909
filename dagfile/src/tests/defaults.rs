//! What the absence of a key means.

use super::good;
use crate::keys::{self, Key};
use std::collections::BTreeSet;
use tidemill_model::Dag;
use tidemill_model::dag::{DEFAULT_POOL_SLOTS, Operator};

fn dag(source: &str) -> Dag {
    good(source).dag.unwrap()
}

/// Sources: Airflow's `config_templates/config.yml` (`[core]`, `[scheduler]`, `[operators]`,
/// `[sensors]`), `definitions/_internal/abstractoperator.py: DEFAULT_*`, `bases/operator.py:
/// BaseOperator`, `definitions/dag.py: DAG`, `timetables/trigger.py: CronTriggerTimetable`.
#[rustfmt::skip]
const AIRFLOWS: &[(&str, &str)] = &[
    ("schedule", ""),
    ("catchup", "false"),
    ("start_date", "None"),
    ("end_date", "None"),
    ("timezone", "UTC"),
    ("is_paused_upon_creation", "true"),
    ("max_active_runs", "16"),
    ("max_active_tasks", "16"),
    ("max_consecutive_failed_dag_runs", "0"),
    ("dagrun_timeout", "None"),
    ("fail_fast", "false"),
    ("owner", "airflow"),
    ("queue", "default"),
    ("retries", "0"),
    ("retry_delay", "300s"),
    ("retry_exponential_backoff", "0"),
    ("max_retry_delay", "None"),
    ("execution_timeout", "None"),
    ("trigger_rule", "AllSuccess"),
    ("depends_on_past", "false"),
    ("ignore_first_depends_on_past", "false"),
    ("pool", "default_pool"),
    ("slots of default_pool", "128"),
    ("pool_slots", "1"),
    ("priority_weight", "1"),
    ("weight_rule", "Downstream"),
    ("max_active_tis_per_dag", "None"),
    ("max_active_tis_per_dagrun", "None"),
    ("do_xcom_push", "true"),
    ("timeout of a sensor", "604800s"),
    ("soft_fail", "false"),
    ("interval", "Tick"),
    ("run_immediately", "Recent"),
];

/// Where ours is another one. `docs/airflow.md` tells users.
const OURS: &[(&str, &str)] = &[
    ("is_paused_upon_creation", "false"),
    ("owner", "tidemill"),
    ("ignore_first_depends_on_past", "true"),
];

/// What a file says that says nothing.
#[rustfmt::skip]
fn of_silence() -> Vec<(&'static str, String)> {
    let silent = dag("[tasks]\nt = 'true'\nw = { external_task_sensor = { dag_id = 'x' } }\n");
    let past = dag("[tasks.t]\nshell = 'true'\ndepends_on_past = true\n").tasks[0].past.unwrap();
    let ticking = dag("[dag]\nschedule = '@daily'\n[tasks]\nt = 'true'\n").schedule;
    let task = &silent.tasks[0];
    let Operator::ExternalTaskSensor(sensor) = &silent.tasks[1].operator else {
        panic!("not a sensor")
    };
    vec![
        ("schedule", silent.schedule_text.clone()),
        ("catchup", silent.catchup.to_string()),
        ("start_date", format!("{:?}", silent.start_date)),
        ("end_date", format!("{:?}", silent.end_date)),
        ("timezone", silent.timezone.clone()),
        ("is_paused_upon_creation", silent.is_paused_upon_creation.to_string()),
        ("max_active_runs", silent.max_active_runs.to_string()),
        ("max_active_tasks", silent.max_active_tasks.to_string()),
        ("max_consecutive_failed_dag_runs", silent.max_consecutive_failed_runs.to_string()),
        ("dagrun_timeout", format!("{:?}", silent.dagrun_timeout)),
        ("fail_fast", silent.fail_fast.to_string()),
        ("owner", task.owner.clone()),
        ("queue", task.queue.clone()),
        ("retries", task.retry.retries.to_string()),
        ("retry_delay", format!("{:?}", task.retry.delay)),
        ("retry_exponential_backoff", task.retry.multiplier.to_string()),
        ("max_retry_delay", format!("{:?}", task.retry.max_delay)),
        ("execution_timeout", format!("{:?}", task.execution_timeout)),
        ("trigger_rule", format!("{:?}", task.trigger_rule)),
        ("depends_on_past", task.past.is_some().to_string()),
        ("ignore_first_depends_on_past", past.passes_when_new.to_string()),
        ("pool", task.pool.clone()),
        ("slots of default_pool", DEFAULT_POOL_SLOTS.to_string()),
        ("pool_slots", task.pool_slots.to_string()),
        ("priority_weight", task.priority_weight.to_string()),
        ("weight_rule", format!("{:?}", task.weight_rule)),
        ("max_active_tis_per_dag", format!("{:?}", task.max_active_tis_per_dag)),
        ("max_active_tis_per_dagrun", format!("{:?}", task.max_active_tis_per_dagrun)),
        ("do_xcom_push", task.do_xcom_push.to_string()),
        ("timeout of a sensor", format!("{:?}", sensor.patience.timeout)),
        ("soft_fail", sensor.patience.soft_fail.to_string()),
        ("interval", format!("{:?}", ticking.interval)),
        ("run_immediately", format!("{:?}", ticking.first)),
    ]
}

#[test]
fn a_file_that_says_nothing_has_airflows_defaults() {
    let found = of_silence();
    assert_eq!(found.len(), AIRFLOWS.len());
    for ((key, value), (known, airflows)) in found.iter().zip(AIRFLOWS) {
        assert_eq!(key, known);
        let ours = OURS.iter().find(|(other, _)| other == key);
        assert_eq!(value, ours.map_or(airflows, |(_, ours)| ours), "{key}");
        assert!(
            ours.is_none_or(|(_, ours)| ours != airflows),
            "{key} is no other one"
        );
    }
}

/// A table of the format: its name, its keys, and what stands around what is written into it. The
/// table stands last, so that this moves no line.
type Part = (&'static str, &'static [Key], &'static str);

#[rustfmt::skip]
const PARTS: &[Part] = &[
    ("dag", keys::DAG, "[tasks]\nt = 'true'\n[dag]\n"),
    ("task", keys::TASK, "[tasks.t]\nshell = 'true'\n"),
    ("task", keys::TASK, "[tasks.t]\nshell = 'true'\nexpand = { a = [1] }\n"),
    ("task", keys::TASK, "[tasks.t]\nshell = 'true'\ndepends_on_past = true\n"),
    ("task", keys::TASK, "[tasks.s]\nshell = 'true'\nsetup = true\n[tasks.t]\nshell = 'true'\nteardown = true\ndepends_on = ['s']\n"),
    ("default_args", keys::DEFAULT_ARGS, "[tasks]\nt = 'true'\n[default_args]\n"),
    ("schedule", keys::SCHEDULE, "[tasks]\nt = 'true'\n[dag.schedule]\ncron = '@daily'\n"),
    ("concurrency", keys::CONCURRENCY, "[tasks]\nt = 'true'\n[dag.concurrency]\n"),
    ("retry_policy", keys::RETRY_RULE, "[tasks.t]\nshell = 'true'\n[[tasks.t.retry_policy]]\nerror = 'x'\n"),
    ("time_sensor", keys::TIME_SENSOR, "[tasks.t.time_sensor]\nafter = '1h'\n"),
    ("external_task_sensor", keys::EXTERNAL_TASK_SENSOR, "[tasks.t.external_task_sensor]\ndag_id = 'x'\n"),
    ("trigger_dag_run", keys::TRIGGER_DAG_RUN, "[tasks.t.trigger_dag_run]\ndag_id = 'x'\n"),
];

/// What people are told about defaults is made of these keys: it must be true. A key may be
/// refused where it makes no sense, but not everywhere.
#[test]
fn a_default_that_is_written_out_means_what_its_absence_does() {
    let (mut all, mut read) = (BTreeSet::new(), BTreeSet::new());
    for (table, keys, around) in PARTS {
        let silent = format!("{:?}", dag(around));
        for key in keys.iter().filter(|key| !key.default.is_empty()) {
            all.insert((table, key.name));
            let written = format!("{around}{} = {}\n", key.name, key.default);
            if let Some(dag) = crate::load(written.as_bytes(), "sample").dag {
                // An object without keys is kept as it was written; a run is made alike.
                let told = format!("{dag:?}").replace("conf: Some(Object {})", "conf: None");
                assert_eq!(told, silent, "{written}");
                read.insert((table, key.name));
            }
        }
    }
    let never: Vec<_> = all.difference(&read).collect();
    assert!(never.is_empty(), "never accepted: {never:?}");
}

#[test]
fn an_interval_without_a_start_date_counts_from_the_epoch() {
    let every = dag("[dag]\nschedule = '@every 90m'\n[tasks]\nt = 'true'\n").schedule;
    let next = every.next_after(tidemill_model::Ts(0)).unwrap();
    assert_eq!(next.0, 90 * 60 * 1_000_000);
}

/// Source: Airflow's `definitions/mappedoperator.py: retry_exponential_backoff`.
#[test]
fn a_backoff_may_be_true_or_false() {
    let backoff = |value: &str| {
        let source = format!("[tasks.t]\nshell = 'true'\nretry_exponential_backoff = {value}\n");
        let retry = dag(&source).tasks.remove(0).retry;
        (retry.multiplier, retry.jitter)
    };
    assert_eq!(backoff("true"), (2.0, true));
    assert_eq!(backoff("false"), (0.0, false));
    assert_eq!(backoff("1.5"), (1.5, true));
    assert_eq!(backoff("3"), (3.0, true));
}
