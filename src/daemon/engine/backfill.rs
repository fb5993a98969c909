//! Backfills: the runs of past dates, a few at a time.

use super::Engine;
use super::schedule::{NewRun, RUNS_PER_PASS_MAX};
use super::state::Timer;
use crate::daemon::clock;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use tidemill_model::schedule::Tick;
use tidemill_model::{BackfillNo, DagNo, RunNo, RunType};
use tidemill_scheduler::{
    BackfillRange, ClearChoice, DateFate, Event, check_backfill, date_fate, next_backfill_tick,
    plan_clear,
};
use tidemill_store::{Answer, BackfillDate, BackfillRow, BackfillWish, Refusal, RunKey};

/// A dry run tells so many dates at most.
const DATES_TOLD_MAX: usize = 10_000;

/// A backfill that is not over.
pub(super) struct Backfill {
    pub row: BackfillRow,
    /// Its runs that are not over.
    pub active: BTreeSet<RunNo>,
}

impl Backfill {
    pub(super) fn range(&self) -> BackfillRange {
        BackfillRange {
            from: self.row.from_date,
            to: self.row.to_date,
            is_backwards: self.row.is_backwards,
            until: self.row.created_at,
        }
    }
}

impl Engine {
    /// Takes in what an earlier process has left.
    pub(super) fn resume_backfills(&mut self, loaded: Vec<(BackfillRow, Vec<RunNo>)>) {
        for (row, runs) in loaded {
            let no = row.backfill;
            self.backfill_of
                .extend(runs.iter().map(|run_no| (*run_no, no)));
            let active = runs.into_iter().collect();
            self.backfills.insert(no, Backfill { row, active });
            self.arm_backfill(no);
        }
    }

    /// The DAG is live, perhaps after a while without its file.
    pub(super) fn arm_backfills_of(&mut self, dag_no: DagNo) {
        let of_dag = self.backfills.iter();
        let of_dag = of_dag.filter(|(_, backfill)| backfill.row.dag == dag_no);
        let of_dag: Vec<BackfillNo> = of_dag.map(|(no, _)| *no).collect();
        of_dag.into_iter().for_each(|no| self.arm_backfill(no));
    }

    fn arm_backfill(&mut self, no: BackfillNo) {
        self.timers
            .push(Reverse((clock::now(), Timer::Backfill(no))));
    }

    /// Checks a wish; says of which DAG it is.
    fn checked_wish(
        &self,
        wish: &BackfillWish,
    ) -> Result<(DagNo, BackfillRange, Vec<BackfillNo>), Refusal> {
        let dag_no = self.dag_no(&wish.dag_id)?;
        let state = &self.dags[&dag_no];
        let Some(definition) = state.definition.as_ref().filter(|_| !state.record.is_stale) else {
            return Err(Refusal::Conflict {
                what: format!("the file of DAG {} is gone or cannot be read", wish.dag_id),
            });
        };
        let range = BackfillRange {
            from: wish.from_date,
            to: wish.to_date,
            is_backwards: wish.is_backwards,
            until: clock::now(),
        };
        check_backfill(&definition.dag, &range, wish.reprocess, &wish.conf)
            .map_err(|what| Refusal::Invalid { what })?;
        let open = self.backfills.iter();
        let open = open.filter(|(_, backfill)| backfill.row.dag == dag_no);
        Ok((dag_no, range, open.map(|(no, _)| *no).collect()))
    }

    pub(super) fn create_backfill(&mut self, wish: BackfillWish) -> Result<Answer, Refusal> {
        let (dag_no, range, open) = self.checked_wish(&wish)?;
        if let Some(no) = open.first() {
            let what = format!(
                "DAG {} has backfill {no} already; wait for its end, or cancel it",
                wish.dag_id
            );
            return Err(Refusal::Conflict { what });
        }
        self.last_backfill += 1;
        let row = BackfillRow {
            backfill: BackfillNo(self.last_backfill),
            dag: dag_no,
            from_date: range.from,
            to_date: range.to,
            is_backwards: range.is_backwards,
            reprocess: wish.reprocess,
            max_active_runs: wish.max_active_runs,
            conf: serde_json::Value::Object(wish.conf),
            is_paused: false,
            position: None,
            created_at: range.until,
            updated_at: range.until,
            completed_at: None,
            on_latest_version: self.wants_latest_version(dag_no, wish.on_latest_version),
        };
        self.draft.rows.backfills.push(row.clone());
        let no = row.backfill;
        let active = BTreeSet::new();
        self.backfills.insert(no, Backfill { row, active });
        self.advance_backfill(no);
        self.answer_backfill(no)
    }

    /// The dates that a backfill would make runs for.
    pub(super) fn plan_backfill(&mut self, wish: &BackfillWish) -> Result<Answer, Refusal> {
        let (dag_no, range, _) = self.checked_wish(wish)?;
        let Some(definition) = self.dags[&dag_no].definition.clone() else {
            return Ok(Answer::Dates(Vec::new()));
        };
        let mut position = None;
        let mut dates = Vec::new();
        let mut n_looked_at = 0;
        while let Some(tick) = next_backfill_tick(&definition.dag, &range, position) {
            n_looked_at += 1;
            if n_looked_at > DATES_TOLD_MAX {
                let what = format!(
                    "there are more than {DATES_TOLD_MAX} dates, which a dry run does not list; choose fewer"
                );
                return Err(Refusal::Invalid { what });
            }
            position = Some(tick.at);
            let existing = self.existing_run(dag_no, &key_of(None, &tick));
            let fate = date_fate(existing.map(|row| row.state), wish.reprocess);
            if matches!(fate, DateFate::Make | DateFate::Again) {
                dates.push(tick.logical_date);
            }
        }
        Ok(Answer::Dates(dates))
    }

    pub(super) fn pause_backfill(
        &mut self,
        no: BackfillNo,
        paused: bool,
    ) -> Result<Answer, Refusal> {
        let row = self.open_backfill(no)?;
        row.is_paused = paused;
        self.keep_backfill(no);
        self.advance_backfill(no);
        self.answer_backfill(no)
    }

    /// Makes no more runs. What runs goes on; what waits for its turn is ended.
    pub(super) fn cancel_backfill(&mut self, no: BackfillNo) -> Result<Answer, Refusal> {
        let now = clock::now();
        let row = self.open_backfill(no)?;
        row.is_paused = true;
        row.completed_at = Some(now);
        self.keep_backfill(no);
        let answer = self.answer_backfill(no);
        let Some(backfill) = self.backfills.remove(&no) else {
            return answer;
        };
        for run_no in backfill.active {
            let is_waiting = self
                .runs
                .get(&run_no)
                .is_some_and(|run| run.row.state == tidemill_model::RunState::Queued);
            if is_waiting {
                self.step(run_no, Event::Cancel);
            }
        }
        answer
    }

    fn open_backfill(&mut self, no: BackfillNo) -> Result<&mut BackfillRow, Refusal> {
        match self.backfills.get_mut(&no) {
            Some(backfill) => Ok(&mut backfill.row),
            None if (1..=self.last_backfill).contains(&no.0) => Err(Refusal::Conflict {
                what: format!("backfill {no} is over already"),
            }),
            None => Err(Refusal::NotFound {
                what: format!(
                    "there is no backfill {no}; `tidemill backfills list` shows those that there are"
                ),
            }),
        }
    }

    fn answer_backfill(&self, no: BackfillNo) -> Result<Answer, Refusal> {
        match self.backfills.get(&no) {
            Some(backfill) => Ok(Answer::Backfill(Box::new(backfill.row.clone()))),
            None => Ok(Answer::Done),
        }
    }

    fn keep_backfill(&mut self, no: BackfillNo) {
        if let Some(backfill) = self.backfills.get_mut(&no) {
            backfill.row.updated_at = clock::now();
            self.draft.rows.backfills.push(backfill.row.clone());
        }
    }

    /// A run that is over makes room for the next of its backfill.
    pub(super) fn leave_backfill(&mut self, run_no: RunNo) {
        let Some(no) = self.backfill_of.remove(&run_no) else {
            return;
        };
        if let Some(backfill) = self.backfills.get_mut(&no) {
            backfill.active.remove(&run_no);
            self.arm_backfill(no);
        }
    }

    /// Makes the next runs of a backfill, as far as it has room, a few in one pass; ends it when
    /// nothing is left.
    pub(super) fn advance_backfill(&mut self, no: BackfillNo) {
        for _ in 0..RUNS_PER_PASS_MAX {
            let Some(backfill) = self.backfills.get(&no) else {
                return;
            };
            let state = self.dags.get(&backfill.row.dag);
            let Some(state) = state.filter(|state| !state.record.is_stale) else {
                return;
            };
            let Some(definition) = &state.definition else {
                return;
            };
            let (row, n_active) = (&backfill.row, backfill.active.len());
            if self.stopping.is_some() {
                return;
            }
            let next = next_backfill_tick(&definition.dag, &backfill.range(), row.position);
            match next {
                None if n_active == 0 => return self.complete_backfill(no),
                None => return,
                Some(_) if row.is_paused || n_active >= row.max_active_runs as usize => return,
                Some(tick) => self.take_date(no, tick),
            }
        }
        self.arm_backfill(no);
    }

    fn complete_backfill(&mut self, no: BackfillNo) {
        if let Some(backfill) = self.backfills.get_mut(&no) {
            backfill.row.completed_at = Some(clock::now());
        }
        self.keep_backfill(no);
        self.backfills.remove(&no);
    }

    /// Deals with one date: makes its run, runs it again, or leaves it alone; and says which.
    fn take_date(&mut self, no: BackfillNo, tick: Tick) {
        let Some(backfill) = self.backfills.get_mut(&no) else {
            return;
        };
        backfill.row.position = Some(tick.at);
        let row = backfill.row.clone();
        let key = key_of(Some(no), &tick);
        let existing = self.existing_run(row.dag, &key);
        let fate = date_fate(existing.as_ref().map(|run| run.state), row.reprocess);
        let mut date = BackfillDate {
            backfill: no,
            tick: tick.at,
            logical_date: tick.logical_date,
            run: None,
            skipped: None,
        };
        match (fate, existing) {
            (DateFate::Skip(reason), existing) => {
                date.run = existing.map(|run| run.run);
                date.skipped = Some(reason);
            }
            (DateFate::Again, Some(run)) => {
                date.run = self.run_again(&row, &run.run_id);
            }
            (DateFate::Again, None) | (DateFate::Make, _) => {
                let new = NewRun {
                    key,
                    run_type: RunType::Backfill,
                    data_interval: Some(tick.data_interval),
                    run_after: Some(tick.at),
                    conf: row.conf,
                    triggered_by: Some("backfill".to_string()),
                    note: None,
                };
                date.run = self.make_backfill_run(no, row.dag, new);
            }
        }
        self.draft.rows.backfill_dates.push(date);
        self.keep_backfill(no);
        self.begin_runs(row.dag);
    }

    fn make_backfill_run(&mut self, no: BackfillNo, dag_no: DagNo, new: NewRun) -> Option<RunNo> {
        // Said before it is made, so that it never counts among the other runs.
        let run_no = self.next_run();
        self.join_backfill(no, run_no);
        match self.make_run_as(run_no, dag_no, new) {
            Ok(made) => Some(made),
            Err(why) => {
                tracing::warn!(backfill = %no, %why, "A date of a backfill has made no run");
                self.backfill_of.remove(&run_no);
                if let Some(backfill) = self.backfills.get_mut(&no) {
                    backfill.active.remove(&run_no);
                }
                None
            }
        }
    }

    fn run_again(&mut self, row: &BackfillRow, run_id: &str) -> Option<RunNo> {
        let run_no = self.load_run(row.dag, run_id)?;
        self.join_backfill(row.backfill, run_no);
        let mut chosen = plan_clear(self.runs.get(&run_no)?, &ClearChoice::default());
        if row.on_latest_version {
            chosen = match self.repin(run_no, Some(true), chosen.clone()) {
                Ok(there) => there,
                Err(why) => {
                    tracing::warn!(backfill = %row.backfill, %why, "A date runs again by its own version");
                    chosen
                }
            };
        }
        self.step(run_no, Event::Clear(chosen));
        Some(run_no)
    }

    /// Do dates that run again go on by the current version? The wish, the DAG's word, or yes, as
    /// in Airflow.
    fn wants_latest_version(&self, dag_no: DagNo, wished: Option<bool>) -> bool {
        let definition = self
            .dags
            .get(&dag_no)
            .and_then(|dag| dag.definition.as_ref());
        let of_dag = definition.and_then(|known| known.dag.rerun_with_latest_version);
        wished.or(of_dag).unwrap_or(true)
    }

    fn join_backfill(&mut self, no: BackfillNo, run_no: RunNo) {
        self.backfill_of.insert(run_no, no);
        if let Some(backfill) = self.backfills.get_mut(&no) {
            backfill.active.insert(run_no);
        }
    }
}

/// What the run of a date is called, and what makes it one run.
fn key_of(no: Option<BackfillNo>, tick: &Tick) -> RunKey {
    RunKey {
        run_id: format!("backfill__{}", tick.at),
        logical_date: Some(tick.logical_date),
        cause: no.map(|no| format!("backfill:{no}:{}", tick.at.0)),
    }
}
