//! The keys of assets, and of operators that wait for, or make, something outside of their run.

use super::{Key, Kind, key};

/// `[assets.NAME]`.
#[rustfmt::skip]
pub(crate) const ASSET: &[Key] = &[
    key("uri", Kind::Text, "", "What it is, as an address without a password; its name when absent."),
    key("group", Kind::Text, "\"asset\"", "The group that it is shown in."),
    key("description", Kind::Text, "", "One line about it."),
    key("extra", Kind::Any, "{}", "More about it, for machines."),
];

/// What sensors have in common.
#[rustfmt::skip]
macro_rules! sensor_keys {
    ($($extra:expr),* $(,)?) => {
        &[
            $($extra,)*
            key("timeout", Kind::Duration, "\"7d\"", "How long it waits; then it fails, and is not tried again."),
            key("soft_fail", Kind::Bool, "false", "Is it skipped where it would fail?"),
            key("poke_interval", Kind::Duration, "", "Airflow's; nothing is asked again and again here, so it changes nothing."),
        ]
    };
}

/// `[tasks.NAME.time_sensor]`.
#[rustfmt::skip]
pub(crate) const TIME_SENSOR: &[Key] = sensor_keys![
    key("at", Kind::TimeOrDate, "", "A time of day in the DAG's time zone, on the day on which the wait begins, or an instant."),
    key("after", Kind::Duration, "", "So long after the end of the run's data interval."),
];

pub(crate) const MATCHES: &[&str] = &["same", "latest", "interval"];
pub(crate) const RUN_STATES: &[&str] = &["queued", "running", "success", "failed"];
#[rustfmt::skip]
pub(crate) const TASK_STATES: &[&str] = &[
    "none", "scheduled", "queued", "running", "success", "failed", "upstream_failed", "skipped",
    "up_for_retry", "up_for_reschedule", "deferred", "restarting", "removed",
];

/// `[tasks.NAME.external_task_sensor]`.
#[rustfmt::skip]
pub(crate) const EXTERNAL_TASK_SENSOR: &[Key] = sensor_keys![
    key("dag_id", Kind::Text, "", "The DAG whose run is waited for."),
    key("task_id", Kind::Text, "", "A task of it; without a task or a group the whole run is waited for."),
    key("task_ids", Kind::Texts, "", "Several tasks of it."),
    key("task_group_id", Kind::Text, "", "A group of it, with all tasks in it."),
    key("match", Kind::Choice(MATCHES), "\"same\"", "Which run: the one with the `same` logical date, the `latest` one up to it but after that of this DAG's run before, or the latest one in this run's data `interval`."),
    key("execution_delta", Kind::Duration, "\"0s\"", "Look for runs so long before this run's logical date."),
    key("allowed_states", Kind::Choices(TASK_STATES), "[\"success\"]", "It ends well when all are in one of these states."),
    key("skipped_states", Kind::Choices(TASK_STATES), "[]", "It is skipped when one is in one of these."),
    key("failed_states", Kind::Choices(TASK_STATES), "[]", "It fails when one is in one of these."),
    key("check_existence", Kind::Bool, "false", "Fail at once when there is no such DAG, task or group?"),
];

/// `[tasks.NAME.trigger_dag_run]`.
#[rustfmt::skip]
pub(crate) const TRIGGER_DAG_RUN: &[Key] = &[
    key("dag_id", Kind::Template, "", "The DAG that is started."),
    key("run_id", Kind::Template, "", "What its run is called; a name is made up when absent."),
    key("conf", Kind::Object, "{}", "The parameters of the run; its texts may be templates."),
    key("logical_date", Kind::Template, "", "The instant that the run is about; the present when absent, none when it gives nothing."),
    key("note", Kind::Template, "", "A note on the run."),
    key("wait_for_completion", Kind::Bool, "false", "Wait for the end of the run? The wait holds no slot."),
    key("allowed_states", Kind::Choices(RUN_STATES), "[\"success\"]", "With a wait: the task ends well when the run is in one of these states."),
    key("failed_states", Kind::Choices(RUN_STATES), "[\"failed\"]", "With a wait: it fails when the run is in one of these."),
    key("reset_dag_run", Kind::Bool, "false", "Is a run of that name or logical date, where there is one, run again?"),
    key("skip_when_already_exists", Kind::Bool, "false", "Is the task skipped, and not failed, when there is such a run?"),
    key("fail_when_dag_is_paused", Kind::Bool, "false", "Does the task fail when the DAG is paused?"),
    key("poke_interval", Kind::Duration, "", "Airflow's; nothing is asked again and again here, so it changes nothing."),
];
