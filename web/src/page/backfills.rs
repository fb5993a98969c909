//! Backfills: how far each is, the form that makes one, and the buttons that stop it.

use super::{Frame, PageResult, ask, go, show};
use crate::Web;
use crate::error::Fault;
use crate::view::{When, text};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use std::collections::{BTreeMap, HashMap};
use tidemill_model::{BackfillNo, Reprocess, RunNo, Ts};
use tidemill_store::{Answer, BackfillRecord, BackfillWish, Command, RunFilter};

/// Backfills that the page shows.
const SHOWN: usize = 50;
/// Dates of a preview that the page names.
const DATES_SHOWN: usize = 100;
/// As in Airflow.
const MAX_ACTIVE_RUNS: u32 = 10;

type Texts = HashMap<String, String>;

struct BackfillLine {
    no: String,
    dag_id: String,
    dag_url: String,
    from: When,
    to: When,
    is_backwards: bool,
    reprocess: &'static str,
    max_active_runs: u32,
    made: When,
    state: &'static str,
    /// How many dates came to what.
    counts: Vec<(String, usize)>,
    n_dates: usize,
    /// Thousandths of the span that are dealt with.
    bar: u64,
    url: String,
    is_paused: bool,
    is_over: bool,
}

#[derive(Template)]
#[template(path = "backfills.html")]
struct Backfills {
    frame: Frame,
    lines: Vec<BackfillLine>,
    more: usize,
    dags: Vec<String>,
    form: Filled,
    error: Option<String>,
    /// The dates that a backfill would make runs for.
    preview: Option<Preview>,
}

struct Preview {
    n: usize,
    dates: Vec<When>,
}

/// What stands in the form.
struct Filled {
    is_open: bool,
    dag_id: String,
    from: String,
    to: String,
    reprocess: String,
    max_active_runs: String,
    is_backwards: bool,
}

impl Filled {
    fn of(texts: &Texts) -> Filled {
        let text = |key: &str| texts.get(key).map(|text| text.trim().to_string());
        Filled {
            is_open: texts.contains_key("dag_id"),
            dag_id: text("dag_id").unwrap_or_default(),
            from: text("from").unwrap_or_default(),
            to: text("to").unwrap_or_default(),
            reprocess: text("reprocess").unwrap_or("none".to_string()),
            max_active_runs: text("max_active_runs").unwrap_or(MAX_ACTIVE_RUNS.to_string()),
            is_backwards: texts.contains_key("run_backwards"),
        }
    }

    fn wish(&self, zone: &jiff::tz::TimeZone) -> Result<BackfillWish, String> {
        let date =
            |name: &str, text: &str| Ts::parse(text, zone).map_err(|err| format!("{name}: {err}"));
        let max_active_runs = self.max_active_runs.parse();
        let max_active_runs = max_active_runs.ok().filter(|n| (1..=10_000).contains(n));
        Ok(BackfillWish {
            dag_id: self.dag_id.clone(),
            from_date: date("from", &self.from)?,
            to_date: date("to", &self.to)?,
            is_backwards: self.is_backwards,
            reprocess: Reprocess::from_name(&self.reprocess)
                .ok_or("what happens with dates that have a run: none, failed or completed")?,
            max_active_runs: max_active_runs.ok_or("runs at once: a number from 1 to 10000")?,
            on_latest_version: None,
            conf: serde_json::Map::new(),
        })
    }
}

/// The page; `dag_id` in the address fills the form.
pub(crate) async fn page(State(web): State<Web>, Query(texts): Query<Texts>) -> PageResult {
    draw(&web, Filled::of(&texts), None, None).await
}

async fn draw(
    web: &Web,
    form: Filled,
    error: Option<String>,
    preview: Option<Preview>,
) -> PageResult {
    let all = web.doors.pages.backfills().await?;
    let mut lines = Vec::new();
    for record in all.iter().take(SHOWN) {
        lines.push(line(web, record).await?);
    }
    let dags = web.doors.pages.dags().await?;
    let live = dags.into_iter().filter(|dag| !dag.is_stale);
    show(&Backfills {
        frame: Frame::new("Backfills", Some("dags".to_string()), web.doors.version),
        lines,
        more: all.len().saturating_sub(SHOWN),
        dags: live.map(|dag| dag.dag_id).collect(),
        form,
        error,
        preview,
    })
}

async fn line(web: &Web, record: &BackfillRecord) -> Result<BackfillLine, Fault> {
    let row = &record.row;
    let dates = web.doors.pages.backfill_dates(row.backfill).await?;
    let states = states(web, record, dates.iter().filter_map(|date| date.run)).await?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for date in &dates {
        let word = match (date.skipped, date.run) {
            (Some(reason), _) => reason.name().to_string(),
            (None, Some(run)) => states.get(&run).cloned().unwrap_or("over".to_string()),
            (None, None) => "no run".to_string(),
        };
        *counts.entry(word).or_default() += 1;
    }
    let is_over = row.completed_at.is_some();
    Ok(BackfillLine {
        no: row.backfill.to_string(),
        dag_id: record.dag_id.clone(),
        dag_url: text::dag_url(&record.dag_id),
        from: row.from_date.into(),
        to: row.to_date.into(),
        is_backwards: row.is_backwards,
        reprocess: row.reprocess.name(),
        max_active_runs: row.max_active_runs,
        made: row.created_at.into(),
        state: match (is_over, row.is_paused) {
            (true, true) => "cancelled",
            (true, false) => "over",
            (false, true) => "paused",
            (false, false) => "running",
        },
        counts: counts.into_iter().collect(),
        n_dates: dates.len(),
        bar: if is_over { 1000 } else { progress(record) },
        url: format!("/backfills/{}", row.backfill),
        is_paused: row.is_paused,
        is_over,
    })
}

/// The states of a backfill's runs. Runs of other causes, which it ran again, are asked for one by
/// one, up to a number.
async fn states(
    web: &Web,
    record: &BackfillRecord,
    runs: impl Iterator<Item = RunNo>,
) -> Result<HashMap<RunNo, String>, Fault> {
    let row = &record.row;
    let filter = RunFilter {
        dag_id: Some(record.dag_id.clone()),
        logical_date: (Some(row.from_date), Some(row.to_date)),
        limit: 1_000,
        ..RunFilter::default()
    };
    let found = web.doors.pages.runs(&filter).await?;
    let state = |no: &RunNo| {
        let run = found.runs.iter().find(|run| run.row.run == *no)?;
        Some((*no, run.row.state.name().to_string()))
    };
    let runs: Vec<RunNo> = runs.collect();
    Ok(runs.iter().filter_map(state).collect())
}

/// How much of the span is dealt with, in thousandths.
fn progress(record: &BackfillRecord) -> u64 {
    let row = &record.row;
    let Some(position) = row.position else {
        return 0;
    };
    let whole = row.to_date.since(row.from_date).as_micros().max(1);
    let done = match row.is_backwards {
        false => position.since(row.from_date),
        true => row.to_date.since(position),
    };
    u64::try_from(done.as_micros() * 1000 / whole)
        .unwrap_or(1000)
        .min(1000)
}

/// Makes a backfill, or shows which dates it would have.
pub(crate) async fn make(State(web): State<Web>, Form(texts): Form<Texts>) -> PageResult {
    let form = Filled::of(&texts);
    let again = async |form: Filled, status: StatusCode, error: String| {
        let page = draw(&web, form, Some(error), None).await?;
        Ok((status, page).into_response())
    };
    let zone = zone_of(&web, &form.dag_id).await;
    let wish = match wish_of(&form, zone) {
        Ok(wish) => wish,
        Err(error) => return again(form, StatusCode::UNPROCESSABLE_ENTITY, error).await,
    };
    let is_preview = texts.get("do").is_some_and(|what| what == "preview");
    let command = match is_preview {
        true => Command::PlanBackfill(wish),
        false => Command::CreateBackfill(wish),
    };
    match ask(&web, command).await {
        Ok(Answer::Dates(dates)) => {
            let preview = Preview {
                n: dates.len(),
                dates: dates
                    .iter()
                    .take(DATES_SHOWN)
                    .map(|at| (*at).into())
                    .collect(),
            };
            draw(&web, form, None, Some(preview)).await
        }
        Ok(_) => Ok(go("/backfills")),
        Err(fault) if fault.status.is_client_error() => {
            again(form, fault.status, fault.detail).await
        }
        Err(fault) => Err(fault.into()),
    }
}

fn wish_of(form: &Filled, zone: Option<jiff::tz::TimeZone>) -> Result<BackfillWish, String> {
    let zone = zone.ok_or_else(|| format!("there is no DAG {}", form.dag_id))?;
    form.wish(&zone)
}

/// The time zone that dates of a DAG are read in.
async fn zone_of(web: &Web, dag_id: &str) -> Option<jiff::tz::TimeZone> {
    let facts = super::dag_facts(web, dag_id).await.ok()?;
    let name = facts
        .dag
        .map_or("UTC".to_string(), |dag| dag.timezone.clone());
    Some(jiff::tz::TimeZone::get(&name).unwrap_or(jiff::tz::TimeZone::UTC))
}

/// Pauses, resumes or cancels a backfill.
pub(crate) async fn change(
    State(web): State<Web>,
    Path(no): Path<i64>,
    Form(texts): Form<Texts>,
) -> PageResult {
    let backfill = BackfillNo(no);
    let command = match texts.get("do").map(String::as_str) {
        Some("cancel") => Command::CancelBackfill { backfill },
        Some("unpause") => Command::PauseBackfill {
            backfill,
            paused: false,
        },
        _ => Command::PauseBackfill {
            backfill,
            paused: true,
        },
    };
    ask(&web, command).await?;
    Ok(go("/backfills"))
}
