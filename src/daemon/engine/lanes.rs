//! What becomes of a stream when one of its runs has ended: its lane, and its records.

use super::Engine;
use super::pass::PassDraft;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_model::attempt::Reject;
use tidemill_model::trigger::{KafkaTrigger, OnLaneFailure, OnRunFailure};
use tidemill_model::{DagNo, RunNo, RunState, Ts};
use tidemill_scheduler::Run;
use tidemill_store::{Answer, BatchRecord, Command, LaneBlock, Reach, Refusal, RejectedRow};

/// What the engine keeps of the ends of such runs.
#[derive(Default)]
pub(super) struct StreamsOfRuns {
    /// Records that successes of this pass have rejected: of which run, and by which attempt.
    pub rejected: Vec<(RunNo, String, Vec<Reject>)>,
    /// Failed runs that hold up their lane.
    blocked: BTreeMap<RunNo, (DagNo, LaneBlock)>,
}

/// The trigger that has made a run, as its version has it.
fn trigger_of<'r>(run: &'r Run, batch: &BatchRecord) -> Option<&'r KafkaTrigger> {
    let name = batch.facts["name"].as_str()?;
    let mut triggers = run.dag.triggers.iter();
    triggers
        .find(|trigger| trigger.name == name)
        .map(|trigger| &trigger.kafka)
}

/// Has the run failed, and holds up those behind it in its lane?
pub(super) fn keeps_lane(run: &Run, batch: Option<&BatchRecord>) -> bool {
    let blocks = |batch: &BatchRecord| {
        let kafka = trigger_of(run, batch);
        kafka.is_some_and(|kafka| kafka.on_lane_failure == OnLaneFailure::Block)
    };
    run.row.state == RunState::Failed && batch.is_some_and(blocks)
}

impl Engine {
    /// Lanes that were held up are still.
    pub(super) fn resume_blocks(&mut self) {
        let streams = Arc::clone(&self.database.streams);
        let read = self.insist("Reading lanes", || streams.blocks());
        let triggers = self.insist("Reading triggers", || streams.triggers());
        let (Ok(blocks), Ok(triggers)) = (read, triggers) else {
            return;
        };
        for block in blocks {
            let trigger = triggers.iter().find(|one| one.trigger == block.trigger);
            let Some(dag_no) = trigger.map(|one| one.dag) else {
                continue;
            };
            if let Some(dag) = self.dags.get_mut(&dag_no) {
                dag.turns.block(block.run, &block.lane);
            }
            let blocked = &mut self.streams_of_runs.blocked;
            blocked.insert(block.run, (dag_no, block));
        }
    }

    /// Writes with a pass what the ends of runs and of tasks in it mean for streams.
    pub(super) fn settle_streams(&mut self, draft: &mut PassDraft, now: Ts) {
        for (run_no, cause, rejects) in std::mem::take(&mut self.streams_of_runs.rejected) {
            let poison = self.rejected(run_no, &rejects);
            self.quarantine(draft, run_no, &cause, poison, now);
        }
        let runs: Vec<RunNo> = draft.runs().collect();
        for run_no in runs {
            let Some(run) = self.runs.get(&run_no) else {
                continue;
            };
            let Some(batch) = self.batches.get(&run_no) else {
                continue;
            };
            let state = run.row.state;
            let blocked = &mut self.streams_of_runs.blocked;
            if keeps_lane(run, Some(batch))
                && let Some(lane) = &batch.lane
            {
                let block = LaneBlock {
                    run: run_no,
                    trigger: batch.trigger,
                    lane: lane.clone(),
                    at: now,
                };
                blocked.insert(run_no, (run.row.dag, block.clone()));
                draft.rows.streams.blocks.push(block);
            } else if state == RunState::Success && blocked.remove(&run_no).is_some() {
                draft.rows.streams.unblocked.push(run_no);
            }
            let kafka = trigger_of(run, batch);
            let is_lost = state == RunState::Failed
                && kafka.is_some_and(|kafka| kafka.on_run_failure == OnRunFailure::Quarantine);
            if is_lost {
                let poison = self.all_rejected(run_no);
                self.quarantine(draft, run_no, &format!("run {run_no}"), poison, now);
            }
        }
    }

    fn quarantine(
        &self,
        draft: &mut PassDraft,
        run_no: RunNo,
        cause: &str,
        poison: Vec<tidemill_store::NewPoison>,
        now: Ts,
    ) {
        let Some(batch) = self.batches.get(&run_no) else {
            return;
        };
        let rows = poison.into_iter().map(|poison| RejectedRow {
            cause: format!(
                "{cause}: {}/{}@{}",
                poison.partition.topic, poison.partition.partition, poison.offset
            ),
            trigger: batch.trigger,
            replay: batch.replay,
            poison,
            at: now,
        });
        draft.rows.streams.poison.extend(rows);
    }

    /// A person has decided about the run that holds up a lane: it is tried again, or passed over.
    pub(super) fn unblock_lane(
        &mut self,
        dag_id: &str,
        trigger: &str,
        lane: &str,
        retry: bool,
    ) -> Result<Answer, Refusal> {
        let dag_no = self.dag_no(dag_id)?;
        let wanted = [lane.to_string(), format!("{trigger}: {lane}")];
        let mut blocked = self.streams_of_runs.blocked.iter();
        let found = blocked.find(|(_, (of, block))| *of == dag_no && wanted.contains(&block.lane));
        let Some((&run_no, _)) = found else {
            return Err(Refusal::NotFound {
                what: format!("no lane `{lane}` of {dag_id}/{trigger} is blocked"),
            });
        };
        if retry {
            return self.try_lane_again(dag_id, run_no);
        }
        self.streams_of_runs.blocked.remove(&run_no);
        self.draft.rows.streams.unblocked.push(run_no);
        if let Some(dag) = self.dags.get_mut(&dag_no) {
            dag.turns.unblock(run_no);
        }
        self.begin_runs(dag_no);
        Ok(Answer::Done)
    }

    /// The failed tasks run again, at the head of the lane.
    fn try_lane_again(&mut self, dag_id: &str, run_no: RunNo) -> Result<Answer, Refusal> {
        let (pages, streams) = (
            Arc::clone(&self.database.pages),
            Arc::clone(&self.database.streams),
        );
        let away = |what: String| Refusal::Unavailable { what };
        let found = self.insist("Reading a run", || pages.run_by_no(run_no));
        let found = found.map_err(|err| away(err.to_string()))?;
        let Some(found) = found else {
            return Err(Refusal::NotFound {
                what: "the run that blocks the lane was removed: use --skip".to_string(),
            });
        };
        // Its lane is among it: it queues there again.
        if let Ok(Some(batch)) = self.insist("Reading a batch", || streams.batch(run_no)) {
            self.know_batch(batch);
        }
        self.clear(Command::Clear {
            dag_id: dag_id.to_string(),
            reach: Reach::of_run(found.row.run_id, Vec::new()),
            only_failed: true,
            only_running: false,
            on_latest_version: None,
            note: None,
            dry_run: false,
        })
    }
}
