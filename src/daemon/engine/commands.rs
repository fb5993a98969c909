//! What people ask, done in the pass that is being made and answered after its commit.

use super::Engine;
use super::schedule::{NewRun, NotMade};
use crate::daemon::clock;
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::{DagNo, RunNo, RunType, Ts, check_run_id};
use tidemill_scheduler::Event;
use tidemill_store::{Answer, Command, Refusal, RunKey};
use tokio::sync::oneshot;

/// A date that differs from the clock by less was not chosen by a person.
const PRESENT: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn command(
        &mut self,
        command: Command,
        reply: oneshot::Sender<Result<Answer, Refusal>>,
    ) {
        let answer = if self.stopping.is_some() {
            Err(Refusal::Unavailable {
                what: "the server is stopping; ask again when it is back".to_string(),
            })
        } else {
            match command {
                Command::ForgetRuns { runs } => return self.forgetting.push((runs, reply)),
                command => self.carry_out(command),
            }
        };
        self.draft.replies.push((reply, answer));
    }

    fn carry_out(&mut self, command: Command) -> Result<Answer, Refusal> {
        match command {
            Command::Trigger { .. } => self.trigger(command),
            Command::Happened(what) => self.happened(*what),
            Command::SetPaused { dag_id, paused } => self.set_paused(&dag_id, paused),
            Command::Assets => Ok(self.tell_assets()),
            Command::EmitAsset {
                name,
                extra,
                emitted_by,
            } => self.emit_asset(&name, extra, emitted_by),
            Command::DropAssetEvents { dag_id, asset } => {
                self.drop_asset_events(dag_id.as_deref(), asset)
            }
            Command::CreateBackfill(wish) => self.create_backfill(wish),
            Command::PlanBackfill(wish) => self.plan_backfill(&wish),
            Command::PauseBackfill { backfill, paused } => self.pause_backfill(backfill, paused),
            Command::CancelBackfill { backfill } => self.cancel_backfill(backfill),
            Command::Clear { .. } => self.clear(command),
            Command::MarkTasks {
                dag_id,
                reach,
                state,
                dry_run,
            } => self.mark_tasks(&dag_id, &reach, state, dry_run),
            Command::SetNote {
                dag_id,
                run_id,
                task,
                note,
            } => self.set_note(&dag_id, &run_id, task, note),
            Command::MarkRun {
                dag_id,
                run_id,
                state,
            } => {
                let run_no = self.find(&dag_id, &run_id)?;
                self.step(run_no, Event::MarkRun(state));
                self.answer_run(run_no)
            }
            Command::UnblockLane {
                dag_id,
                trigger,
                lane,
                retry,
            } => self.unblock_lane(&dag_id, &trigger, &lane, retry),
            Command::SetPool {
                name,
                change,
                is_new,
            } => self.set_pool(&name, change, is_new),
            Command::DeletePool { name } => self.delete_pool(&name),
            Command::Pools => Ok(self.tell_pools()),
            Command::Why(of) => self.why(&of),
            Command::WhyPaused { dag_ids } => Ok(self.why_paused(&dag_ids)),
            Command::ForgetRuns { .. } => Ok(Answer::Done),
            Command::Outside(_) => Err(Refusal::Invalid {
                what: "connections and variables are kept by the server's front".to_string(),
            }),
            Command::Cancel { dag_id, run_id } => {
                let run_no = self.find(&dag_id, &run_id)?;
                if self.runs[&run_no].row.state.is_terminal() {
                    self.forget_if_over(run_no);
                    return Err(Refusal::Conflict {
                        what: format!("run {run_id} of {dag_id} is over already"),
                    });
                }
                self.step(run_no, Event::Cancel);
                self.answer_run(run_no)
            }
        }
    }

    fn trigger(&mut self, command: Command) -> Result<Answer, Refusal> {
        let Command::Trigger {
            dag_id,
            run_id,
            logical_date,
            data_interval,
            run_after,
            conf,
            note,
            idempotency_key,
            triggered_by,
        } = command
        else {
            return Ok(Answer::Done);
        };
        let dag_no = self.dag_no(&dag_id)?;
        let state = &self.dags[&dag_no];
        let Some(definition) = state.definition.as_ref().filter(|_| !state.record.is_stale) else {
            return Err(Refusal::Conflict {
                what: format!("the file of DAG {dag_id} is gone or cannot be read"),
            });
        };
        if !definition.dag.allowed_run_types.contains(&RunType::Manual) {
            return Err(Refusal::Invalid {
                what: format!("DAG {dag_id} does not allow manual runs"),
            });
        }
        let dag = Arc::clone(&definition.dag);
        dag.check_conf(&conf)
            .map_err(|what| Refusal::Invalid { what })?;
        if let Some(run_id) = &run_id {
            check_run_id(run_id).map_err(|what| Refusal::Invalid { what })?;
        }
        let given = run_id.is_some();
        let mut logical_date = logical_date;
        let mut key = RunKey {
            run_id: run_id.unwrap_or_else(|| manual_id(logical_date.unwrap_or_else(clock::now))),
            logical_date,
            cause: idempotency_key.map(|key| format!("key:{key}")),
        };
        while let Some(row) = self.existing_run(dag_no, &key) {
            if key.cause.is_some() && row.cause == key.cause {
                return Ok(Answer::Run(Box::new(row)));
            }
            // Only what is to be about the present is about another microsecond as well.
            let is_chosen = logical_date.is_some_and(|at| !is_present(at));
            if given || is_chosen || triggered_by == "api" {
                let what = format!(
                    "DAG {dag_id} has run {} with that name or logical date already",
                    row.run_id
                );
                return Err(Refusal::Conflict { what });
            }
            // Two triggers in one microsecond: the later one is a microsecond later.
            logical_date = logical_date.map(|at| Ts(at.0 + 1));
            key.run_id = manual_id(logical_date.unwrap_or_else(clock::now));
            key.logical_date = logical_date;
        }
        // A run that is about no instant is about no data either.
        let data_interval =
            logical_date.map(|at| data_interval.unwrap_or_else(|| dag.schedule.asked_for(at)));
        let conf = serde_json::Value::Object(conf);
        let new = NewRun {
            key,
            run_type: RunType::Manual,
            data_interval,
            run_after,
            conf,
            triggered_by: Some(triggered_by),
            note,
        };
        let made = self.make_run(dag_no, new);
        self.begin_runs(dag_no);
        match made {
            Ok(run_no) => self.answer_run(run_no),
            Err(why @ NotMade::Key(_)) => Err(Refusal::Invalid {
                what: format!("DAG {dag_id}: {why}"),
            }),
            Err(why) => Err(Refusal::Conflict {
                what: format!("DAG {dag_id}: {why}"),
            }),
        }
    }

    fn set_paused(&mut self, dag_id: &str, paused: bool) -> Result<Answer, Refusal> {
        let dag_no = self.dag_no(dag_id)?;
        if let Some(state) = self.dags.get_mut(&dag_no) {
            state.record.is_paused = paused;
            if paused {
                state.record.next_run = None;
            }
        }
        self.draft.dags.insert(dag_no);
        self.streams_changed = true;
        self.assets.due.insert(dag_no);
        self.tick(dag_no);
        self.begin_runs(dag_no);
        Ok(Answer::Done)
    }

    pub(super) fn dag_no(&self, dag_id: &str) -> Result<DagNo, Refusal> {
        self.dag_ids
            .get(dag_id)
            .copied()
            .ok_or_else(|| Refusal::NotFound {
                what: format!(
                    "there is no DAG {dag_id}; `tidemill dags list` shows those that there are"
                ),
            })
    }

    pub(super) fn find(&mut self, dag_id: &str, run_id: &str) -> Result<RunNo, Refusal> {
        let dag_no = self.dag_no(dag_id)?;
        self.load_run(dag_no, run_id).ok_or_else(|| Refusal::NotFound {
            what: format!("DAG {dag_id} has no run {run_id}; `tidemill runs list --dag {dag_id}` shows its runs"),
        })
    }

    fn answer_run(&mut self, run_no: RunNo) -> Result<Answer, Refusal> {
        let row = self.runs[&run_no].row.clone();
        self.forget_if_over(run_no);
        Ok(Answer::Run(Box::new(row)))
    }

    /// A run that was only read again leaves memory with the pass.
    pub(super) fn forget_if_over(&mut self, run_no: RunNo) {
        self.draft.over.push(run_no);
    }
}

/// Is an instant about as old as a command that was sent just now?
fn is_present(at: Ts) -> bool {
    let now = clock::now();
    now.since(at).max(at.since(now)) < PRESENT
}

pub(super) fn manual_id(at: Ts) -> String {
    format!("manual__{at}")
}
