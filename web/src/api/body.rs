//! Records as the bodies of Airflow's API v2. Only Airflow's names leave here: its clients refuse
//! words that they do not know.

use serde_json::{Value, json};
use std::time::Duration;
use tidemill_model::{
    Dag, MapIndex, RunNo, RunType, Task, TaskIndex, TaskNo, TaskState, Ts, VersionNo, dag,
};
use tidemill_store::{BackfillRecord, DagRecord, RunRecord, TaskRow};

/// The UUID (version 8) of a task instance: computed, so it needs no row.
pub(crate) fn instance_uuid(run: RunNo, task: TaskNo, map_index: MapIndex) -> String {
    uuid(
        run.0 as u64,
        task.0 as u32,
        (map_index.0 as u32).wrapping_add(1),
        0,
    )
}

/// The UUID (version 8) of a version.
pub(crate) fn version_uuid(version: VersionNo) -> String {
    uuid(version.0 as u64, 0, 0, 1)
}

/// 48 bits of `number`, 32 of `task`, 32 of `place` and 10 of `kind` around the fixed six.
fn uuid(number: u64, task: u32, place: u32, kind: u16) -> String {
    let high = number << 16 | 0x8000 | u64::from(task >> 20);
    let low = 1 << 63
        | u64::from(task & 0xf_ffff) << 42
        | u64::from(place) << 10
        | u64::from(kind & 0x3ff);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

fn seconds(start: Option<Ts>, end: Option<Ts>) -> Value {
    match (start, end) {
        (Some(start), Some(end)) => json!(end.since(start).as_secs_f64()),
        _ => Value::Null,
    }
}

fn display<'a>(dag: Option<&'a Dag>, dag_id: &'a str) -> &'a str {
    dag.and_then(|dag| dag.display_name.as_deref())
        .unwrap_or(dag_id)
}

/// A DAG.
pub(crate) fn dag(record: &DagRecord, dag: Option<&Dag>, has_errors: bool) -> Value {
    let id = record.dag_id.as_str();
    let title = display(dag, id);
    let tags = dag.map_or(&[][..], |dag| dag.tags.as_slice());
    let tags: Vec<Value> = tags
        .iter()
        .map(|tag| json!({ "name": tag, "dag_id": id, "dag_display_name": title }))
        .collect();
    let tick = dag.zip(record.next_run).map(|(dag, next)| {
        let offset = dag.schedule.offset(&dag.id);
        dag.schedule.about(next.before(offset))
    });
    let schedule = dag
        .map(|dag| dag.schedule_text.as_str())
        .filter(|text| !text.is_empty());
    json!({
        "dag_id": id,
        "dag_display_name": title,
        "is_paused": record.is_paused,
        "is_stale": record.is_stale,
        "last_parsed_time": record.updated_at,
        "last_parse_duration": null,
        "last_expired": null,
        "bundle_name": "dags",
        "bundle_version": null,
        "relative_fileloc": record.file,
        "fileloc": record.file,
        "description": dag.and_then(|dag| dag.description.as_deref()),
        "timetable_summary": schedule,
        "timetable_description": schedule,
        "timetable_partitioned": false,
        "timetable_periodic": dag.is_some_and(|dag| dag.schedule.is_periodic()),
        "tags": tags,
        "max_active_tasks": dag.map_or(16, |dag| dag.max_active_tasks),
        "max_active_runs": dag.map_or(16, |dag| dag.max_active_runs),
        "max_consecutive_failed_dag_runs": dag.map_or(0, |dag| dag.max_consecutive_failed_runs),
        "has_task_concurrency_limits": dag.is_some_and(has_task_limits),
        "has_import_errors": has_errors,
        "next_dagrun_logical_date": tick.map(|tick| tick.logical_date),
        "next_dagrun_data_interval_start": tick.map(|tick| tick.data_interval.0),
        "next_dagrun_data_interval_end": tick.map(|tick| tick.data_interval.1),
        "next_dagrun_run_after": record.next_run,
        "allowed_run_types": dag.map(|dag| dag.allowed_run_types.clone()),
        "owners": [dag.map_or("", |dag| dag.owner.as_str())],
        "is_backfillable": dag.is_some_and(|dag| dag.schedule.is_periodic()),
        "file_token": record.file,
    })
}

/// A backfill.
pub(crate) fn backfill(record: &BackfillRecord, dag: Option<&Dag>) -> Value {
    let row = &record.row;
    json!({
        "id": row.backfill,
        "dag_id": record.dag_id,
        "from_date": row.from_date,
        "to_date": row.to_date,
        "dag_run_conf": row.conf,
        "is_paused": row.is_paused,
        "reprocess_behavior": row.reprocess,
        "max_active_runs": row.max_active_runs,
        // Not of Airflow's answer.
        "run_on_latest_version": row.on_latest_version,
        "created_at": row.created_at,
        "completed_at": row.completed_at,
        "updated_at": row.updated_at,
        "dag_display_name": display(dag, &record.dag_id),
    })
}

/// A DAG with its settings.
pub(crate) fn dag_details(record: &DagRecord, dag: Option<&Dag>, has_errors: bool) -> Value {
    let mut body = self::dag(record, dag, has_errors);
    let params: serde_json::Map<String, Value> = dag
        .map_or(&[][..], |dag| dag.params.as_slice())
        .iter()
        .map(|param| (param.name.clone(), json!({ "value": param.default, "schema": param.schema, "description": param.schema.get("description") })))
        .collect();
    let more = json!({
        "catchup": dag.is_some_and(|dag| dag.catchup),
        "dag_run_timeout": dag.and_then(|dag| dag.dagrun_timeout).map(iso_span),
        "asset_expression": dag.and_then(|dag| dag.asset_schedule.as_ref()).map(|of| of.to_json()),
        "doc_md": dag.and_then(|dag| dag.doc_md.as_deref()),
        "start_date": dag.and_then(|dag| dag.start_date),
        "end_date": dag.and_then(|dag| dag.end_date),
        "is_paused_upon_creation": dag.map(|dag| dag.is_paused_upon_creation),
        "params": params,
        "render_template_as_native_obj": true,
        "template_search_path": null,
        "timezone": dag.map_or("UTC", |dag| dag.timezone.as_str()),
        "last_parsed": record.updated_at,
        "default_args": {},
        "rerun_with_latest_version": dag.is_some_and(|dag| dag.rerun_with_latest_version == Some(true)),
        "owner_links": {},
        "is_favorite": false,
        "active_runs_count": 0,
        "concurrency": dag.map_or(16, |dag| dag.max_active_tasks),
        "latest_dag_version": version(record.version, record.version_number, record.updated_at, &record.dag_id, dag),
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn has_task_limits(dag: &Dag) -> bool {
    let is_limited = |task: &Task| {
        task.max_active_tis_per_dag.is_some() || task.max_active_tis_per_dagrun.is_some()
    };
    dag.tasks.iter().any(is_limited)
}

fn iso_span(span: Duration) -> String {
    format!("PT{}S", span.as_secs_f64())
}

fn version(version: VersionNo, number: i64, at: Ts, dag_id: &str, dag: Option<&Dag>) -> Value {
    json!({
        "id": version_uuid(version),
        "version_number": number,
        "dag_id": dag_id,
        "bundle_name": "dags",
        "bundle_version": null,
        "created_at": at,
        "dag_display_name": display(dag, dag_id),
        "bundle_url": null,
    })
}

/// What made a run, in Airflow's words (`utils/types.py: DagRunTriggeredByType`).
fn triggered_by(run_type: RunType, by: Option<&str>) -> &'static str {
    match (run_type, by) {
        (RunType::Scheduled, _) => "timetable",
        (RunType::Backfill, _) => "backfill",
        (RunType::AssetTriggered, _) => "asset",
        (RunType::Manual, Some("cli")) => "cli",
        (RunType::Manual, Some("ui")) => "ui",
        (RunType::Manual, Some("operator")) => "operator",
        (RunType::Manual, _) => "rest_api",
    }
}

/// A run.
pub(crate) fn run(record: &RunRecord, dag: Option<&Dag>) -> Value {
    let row = &record.row;
    let note = row
        .note
        .clone()
        .or_else(|| row.reason.map(|reason| reason.name().to_string()));
    json!({
        "dag_run_id": row.run_id,
        "dag_id": record.dag_id,
        "logical_date": row.logical_date,
        "queued_at": row.queued_at,
        "start_date": row.started_at,
        "end_date": row.ended_at,
        "duration": seconds(row.started_at, row.ended_at),
        "data_interval_start": row.data_interval_start,
        "data_interval_end": row.data_interval_end,
        "run_after": row.run_after,
        "last_scheduling_decision": row.started_at,
        "run_type": row.run_type,
        "state": row.state,
        "triggered_by": triggered_by(row.run_type, row.triggered_by.as_deref()),
        "triggering_user_name": null,
        "conf": if row.conf.is_object() { row.conf.clone() } else { json!({}) },
        "note": note,
        // Not of Airflow: why it failed, whatever people have noted.
        "reason": row.reason,
        "dag_versions": [version(row.version, record.version_number, row.queued_at, &record.dag_id, dag)],
        "bundle_version": null,
        "dag_display_name": display(dag, &record.dag_id),
        "partition_key": null,
        "partition_date": null,
    })
}

/// A task instance.
pub(crate) fn instance(
    record: &RunRecord,
    row: &TaskRow,
    task_id: &str,
    dag: Option<&Dag>,
    task: Option<&Task>,
) -> Value {
    let operator = task.map(|task| task.operator.name());
    json!({
        "id": instance_uuid(row.run, row.task_no, row.map_index),
        "task_id": task_id,
        "dag_id": record.dag_id,
        "dag_run_id": record.row.run_id,
        "map_index": row.map_index,
        "logical_date": record.row.logical_date,
        "run_after": record.row.run_after,
        "start_date": row.started_at,
        "end_date": row.ended_at,
        "duration": seconds(row.started_at, row.ended_at),
        "state": Some(row.state).filter(|state| *state != TaskState::None),
        "try_number": row.try_number,
        "max_tries": row.max_tries,
        "task_display_name": task.and_then(|task| task.display_name.as_deref()).unwrap_or(task_id),
        "dag_display_name": display(dag, &record.dag_id),
        "hostname": null,
        "unixname": null,
        "pool": task.map_or("default_pool", |task| task.pool.as_str()),
        "pool_slots": task.map_or(1, |task| task.pool_slots),
        "queue": task.map(|task| task.queue.as_str()),
        "priority_weight": task.map(|task| task.total_weight),
        "operator": operator,
        "operator_name": operator,
        "queued_when": row.queued_at,
        "scheduled_when": row.scheduled_at,
        "pid": null,
        "executor": null,
        "executor_config": "{}",
        "note": row.message,
        "rendered_map_index": row.map_item.as_ref().and_then(|item| item.label.as_deref()),
        "rendered_fields": {},
        "trigger": null,
        "triggerer_job": null,
        "dag_version": version(record.row.version, record.version_number, record.row.queued_at, &record.dag_id, dag),
    })
}

fn time_delta(span: Duration) -> Value {
    let seconds = span.as_secs();
    json!({
        "__type": "TimeDelta",
        "days": seconds / 86_400,
        "seconds": seconds % 86_400,
        "microseconds": span.subsec_micros(),
    })
}

/// A task of a definition.
pub(crate) fn task(dag: &Dag, at: TaskIndex) -> Value {
    let task = dag.task(at);
    let below: Vec<&str> = dag
        .graph
        .downstream(at)
        .iter()
        .map(|down| dag.task(*down).id.as_str())
        .collect();
    let above: Vec<&str> = dag
        .graph
        .upstream(at)
        .iter()
        .map(|up| dag.task(*up).id.as_str())
        .collect();
    json!({
        "task_id": task.id,
        "task_display_name": task.display_name.as_deref().unwrap_or(&task.id),
        "owner": task.owner,
        "start_date": dag.start_date,
        "end_date": dag.end_date,
        "trigger_rule": task.trigger_rule,
        "depends_on_past": task.past.is_some(),
        "wait_for_downstream": task.past.is_some_and(|past| past.with_downstream),
        "retries": task.retry.retries,
        "queue": task.queue,
        "pool": task.pool,
        "pool_slots": task.pool_slots,
        "execution_timeout": task.execution_timeout.map(time_delta),
        "retry_delay": time_delta(task.retry.delay),
        "retry_exponential_backoff": task.retry.multiplier,
        "priority_weight": task.priority_weight,
        "weight_rule": task.weight_rule,
        "ui_color": null,
        "ui_fgcolor": null,
        "template_fields": template_fields(task),
        "downstream_task_ids": below,
        "upstream_task_ids": above,
        "doc_md": task.doc_md,
        "operator_name": task.operator.name(),
        "params": {},
        "class_ref": null,
        "is_mapped": task.mapping.is_some(),
        "extra_links": [],
    })
}

fn template_fields(task: &Task) -> Vec<&str> {
    match &task.operator {
        dag::Operator::Empty
        | dag::Operator::LatestOnly
        | dag::Operator::TimeSensor(_)
        | dag::Operator::ExternalTaskSensor(_) => Vec::new(),
        dag::Operator::TriggerDagRun(_) => {
            vec!["dag_id", "run_id", "conf", "logical_date", "note"]
        }
        dag::Operator::Branch(_) => vec!["branch"],
        dag::Operator::ShortCircuit(_) => vec!["condition"],
        dag::Operator::InProcess(work) => work.settings.keys().map(String::as_str).collect(),
        dag::Operator::Shell(_) => vec!["command", "args", "stdin", "env"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: Airflow's `utils/types.py: DagRunTriggeredByType`; its client refuses other words.
    #[test]
    fn what_made_a_run_is_told_in_airflows_words() {
        let table = [
            (RunType::Scheduled, None, "timetable"),
            (RunType::Backfill, Some("backfill"), "backfill"),
            (RunType::AssetTriggered, Some("webhook"), "asset"),
            (RunType::Manual, Some("cli"), "cli"),
            (RunType::Manual, Some("ui"), "ui"),
            (RunType::Manual, Some("operator"), "operator"),
            (RunType::Manual, Some("api"), "rest_api"),
            (RunType::Manual, None, "rest_api"),
        ];
        for (run_type, by, word) in table {
            assert_eq!(triggered_by(run_type, by), word, "{run_type} {by:?}");
        }
    }

    #[test]
    fn uuids_are_of_version_8_and_differ() {
        let one = instance_uuid(RunNo(1), TaskNo(2), MapIndex(-1));
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'8');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        let all = [
            one,
            instance_uuid(RunNo(1), TaskNo(2), MapIndex(0)),
            instance_uuid(RunNo(1), TaskNo(3), MapIndex(-1)),
            instance_uuid(RunNo(2), TaskNo(2), MapIndex(-1)),
            instance_uuid(RunNo(1), TaskNo(2 + (1 << 21)), MapIndex(-1)),
            version_uuid(VersionNo(1)),
        ];
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }
}
