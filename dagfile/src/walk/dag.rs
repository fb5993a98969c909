//! `[dag]`.

use super::alert::{Alerts, DeadlineKeys};
use super::value::is_id;
use super::{Place, Text, Walk};
use crate::diagnostic::Diagnostic;
use crate::keys;
use crate::parse::Table;
use jiff::tz::TimeZone;
use std::ops::Range;
use std::time::Duration;
use tidemill_model::alert::AlertOn;
use tidemill_model::dag::{AssetCondition, Concurrency, ConcurrencyPolicy, RunRetry};
use tidemill_model::schedule::{Schedule, Ticks};
use tidemill_model::{RunType, Ts};

/// What `[dag]` says, with defaults filled in.
pub(crate) struct DagKeys {
    pub(crate) id: String,
    pub(crate) id_span: Range<usize>,
    pub(crate) display_name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) doc_md: Option<String>,
    pub(crate) owner: String,
    pub(crate) tags: Vec<String>,
    pub(crate) schedule: Schedule,
    pub(crate) asset_schedule: Option<AssetCondition>,
    pub(crate) schedule_text: String,
    pub(crate) timezone: String,
    pub(crate) start_date: Option<Ts>,
    pub(crate) end_date: Option<Ts>,
    pub(crate) catchup: bool,
    pub(crate) is_paused_upon_creation: bool,
    pub(crate) allowed_run_types: Vec<RunType>,
    pub(crate) max_active_runs: u32,
    pub(crate) max_consecutive_failed_runs: u32,
    pub(crate) max_active_tasks: u32,
    pub(crate) concurrency: Option<(Concurrency, Option<Text>)>,
    pub(crate) dagrun_timeout: Option<Duration>,
    pub(crate) fail_fast: bool,
    pub(crate) retry: RunRetry,
    pub(crate) alerts: Alerts,
    pub(crate) deadlines: Vec<DeadlineKeys>,
    pub(crate) rerun_with_latest_version: Option<bool>,
}

/// Who answers for a DAG that names nobody.
const OWNER: &str = "tidemill";
const ACTIVE_DEFAULT: u32 = 16;

impl Walk<'_> {
    /// Reads `[dag]`; `header` is where it stands, or the start of the file.
    pub(crate) fn dag(&mut self, table: &Table, header: Range<usize>, stem: &str) -> DagKeys {
        self.check_keys(table, &Place::Dag, keys::DAG);
        let (id, id_span) = self.dag_id(table, header, stem);
        let (timezone, zone) = self
            .zone(table)
            .unwrap_or_else(|| ("UTC".to_string(), TimeZone::UTC));
        self.zone = zone.clone();
        let start_date = self.date(table, "start_date", &zone);
        let end_date = self.date(table, "end_date", &zone);
        if let (Some(start), Some(end), Some(value)) = (start_date, end_date, table.get("end_date"))
            && end < start
        {
            let one =
                Diagnostic::error("TM0133", value.span(), "`end_date` is before `start_date`");
            let start = table.get("start_date").map_or(0..0, |value| value.span());
            self.report(one.label("the end").other(start, "the start"));
        }
        let (schedule, mut schedule_text) = self.schedule(table, &zone, start_date);
        let asset_schedule = self.asset_schedule(table);
        if let Some(condition) = &asset_schedule {
            let joint = if schedule_text.is_empty() {
                ""
            } else {
                "; or "
            };
            schedule_text = format!("{schedule_text}{joint}assets: {condition}");
        }
        let max_active_runs = self.active_runs(table, &schedule);
        self.int(table, "format", 1, 1);
        DagKeys {
            id,
            id_span,
            display_name: self.string(table, "display_name"),
            description: self.string(table, "description"),
            doc_md: self.string(table, "doc_md"),
            owner: self
                .string(table, "owner")
                .unwrap_or_else(|| OWNER.to_string()),
            tags: self.strings(table, "tags").unwrap_or_default(),
            schedule,
            schedule_text,
            asset_schedule,
            timezone,
            start_date,
            end_date,
            catchup: self.boolean(table, "catchup").unwrap_or(false),
            is_paused_upon_creation: self
                .boolean(table, "is_paused_upon_creation")
                .unwrap_or(false),
            allowed_run_types: self.run_types(table),
            max_active_runs,
            max_consecutive_failed_runs: self.failed_runs(table),
            max_active_tasks: self.limit(table, "max_active_tasks", 100_000),
            concurrency: self.concurrency(table),
            dagrun_timeout: self.positive_duration(table, "dagrun_timeout"),
            rerun_with_latest_version: self.boolean(table, "rerun_with_latest_version"),
            fail_fast: self.boolean(table, "fail_fast").unwrap_or(false),
            retry: self.run_retry(table),
            alerts: self.alerts(table, &[AlertOn::Failure, AlertOn::Success]),
            deadlines: self.deadlines(table),
        }
    }

    fn dag_id(
        &mut self,
        table: &Table,
        header: Range<usize>,
        stem: &str,
    ) -> (String, Range<usize>) {
        match self.text(table, "id") {
            Some(id) if is_id(&id.value) => (id.value, id.span),
            Some(id) => {
                let message = format!("`{}` cannot be the id of a DAG", id.value);
                self.report(
                    Diagnostic::error("TM0107", id.span.clone(), message)
                        .label("A-Z a-z 0-9 _ and - only"),
                );
                (id.value, id.span)
            }
            None if is_id(stem) => (stem.to_string(), header),
            None => {
                let message = format!("the file's name `{stem}` cannot be the id of a DAG");
                self.report(
                    Diagnostic::error("TM0107", header.clone(), message)
                        .help("rename the file to A-Z a-z 0-9 _ and -, or give the DAG an `id`"),
                );
                (stem.to_string(), header)
            }
        }
    }

    /// One run at a time is what continuous means (Airflow's `ContinuousTimetable`).
    fn active_runs(&mut self, table: &Table, schedule: &Schedule) -> u32 {
        let written = self.limit(table, "max_active_runs", 10_000);
        if !matches!(schedule.ticks, Ticks::Continuous) {
            return written;
        }
        if let Some(value) = table.get("max_active_runs").filter(|_| written > 1) {
            let message = "a DAG that runs continuously has one run at a time";
            let one = Diagnostic::error("TM0134", value.span(), message);
            self.report(one.label("more than one").help("take the key away"));
        }
        1
    }

    fn limit(&mut self, table: &Table, name: &str, high: i64) -> u32 {
        let number = self.int(table, name, 1, high);
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(ACTIVE_DEFAULT)
    }

    fn failed_runs(&mut self, table: &Table) -> u32 {
        let number = self.int(table, "max_consecutive_failed_dag_runs", 0, 10_000);
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(0)
    }

    /// The limit, and its key's place for the check of its template.
    fn concurrency(&mut self, table: &Table) -> Option<(Concurrency, Option<Text>)> {
        let inner = self.table(table, "concurrency")?;
        self.check_keys(inner, &Place::Concurrency, keys::CONCURRENCY);
        let key = self.text(inner, "key");
        let limit = self.int(inner, "limit", 1, 10_000).unwrap_or(1);
        let policy = self.choice(inner, "policy", keys::POLICIES);
        let concurrency = Concurrency {
            key: key.as_ref().map_or(String::new(), |key| key.value.clone()),
            limit: u32::try_from(limit).unwrap_or(1),
            policy: policy
                .and_then(|word| ConcurrencyPolicy::from_name(&word))
                .unwrap_or(ConcurrencyPolicy::Queue),
        };
        Some((concurrency, key))
    }

    fn run_types(&mut self, table: &Table) -> Vec<RunType> {
        match self.choices(table, "allowed_run_types", keys::RUN_TYPES) {
            Some(words) => words
                .iter()
                .filter_map(|word| RunType::from_name(word))
                .collect(),
            None => RunType::ALL.to_vec(),
        }
    }
}
