//! Runs of webhooks and files: one for each thing that has happened, however often it is told.

use super::schedule::{NewRun, NotMade};
use super::{Engine, RUN_ITSELF};
use crate::daemon::{clock, facts};
use serde_json::{Map, Value};
use tidemill_model::event::EventTrigger;
use tidemill_model::{Dag, DagNo, MapIndex, RunType, Ts};
use tidemill_store::{Answer, Happening, Refusal, RunKey, ValueRow};

/// The value of a run that holds what its templates see as `trigger`.
pub const HAPPENING: &str = "trigger";
/// So many runs may wait before whoever tells of more is told to come again, beside those that
/// the DAG's own limit lets run.
const WAITING_MAX: usize = 1_000;

impl Engine {
    /// Makes the run, or says which one there is; `Done` where the trigger wants none.
    pub(super) fn happened(&mut self, what: Happening) -> Result<Answer, Refusal> {
        let dag_no = self.dag_no(&what.dag_id)?;
        let (definition, trigger) = self.event_trigger(dag_no, &what)?;
        let cause = format!("event:{}:{}", trigger.name, what.key);
        let seen = Value::Object(facts::with_json(what.facts.clone()));
        let name = facts::name_of(&definition, trigger.run_id.as_deref(), &seen);
        let usual = || run_id(&trigger, clock::now());
        let mut key = RunKey {
            run_id: name.clone().unwrap_or_else(usual),
            logical_date: None,
            cause: Some(cause),
        };
        while let Some(row) = self.existing_run(dag_no, &key) {
            if row.cause == key.cause {
                return Ok(Answer::Run(Box::new(row)));
            }
            key.run_id = match &name {
                Some(name) => format!("{name}__{}", clock::now().0),
                // Two in one microsecond: the later one has a later name.
                None => usual(),
            };
        }
        if what.is_known {
            return Ok(Answer::Done);
        }
        if !is_wanted(&definition, &trigger, &seen)? {
            return Ok(Answer::Done);
        }
        let conf = facts::conf_of(&definition, &trigger.params, &seen);
        let fits = definition.check_conf(conf.as_object().unwrap_or(&Map::new()));
        fits.map_err(|what| Refusal::Invalid { what })?;
        self.refuse_when_full(dag_no, &what.dag_id)?;
        let new = NewRun {
            key,
            run_type: RunType::AssetTriggered,
            data_interval: None,
            run_after: None,
            conf,
            triggered_by: Some(trigger.source.name().to_string()),
            note: None,
        };
        let run_no = match self.make_run(dag_no, new) {
            Ok(run_no) => run_no,
            Err(NotMade::Skipped { .. }) => return Ok(Answer::Done),
            Err(why) => {
                let what = format!("DAG {}: {why}", what.dag_id);
                return Err(Refusal::Conflict { what });
            }
        };
        self.draft.rows.values.push(ValueRow {
            run: run_no,
            task_no: RUN_ITSELF,
            map_index: MapIndex::NONE,
            key: HAPPENING.to_string(),
            value: Value::Object(what.facts),
        });
        self.begin_runs(dag_no);
        Ok(Answer::Run(Box::new(self.runs[&run_no].row.clone())))
    }

    fn event_trigger(
        &self,
        dag_no: DagNo,
        what: &Happening,
    ) -> Result<(std::sync::Arc<Dag>, EventTrigger), Refusal> {
        let state = &self.dags[&dag_no];
        let definition = state.definition.as_ref().filter(|_| !state.record.is_stale);
        let dag = definition.map(|definition| std::sync::Arc::clone(&definition.dag));
        let found = dag.and_then(|dag| {
            let mut all = dag.event_triggers.iter();
            let one = all.find(|one| one.name == what.trigger && one.is_enabled);
            let one = one.cloned()?;
            Some((dag, one))
        });
        found.ok_or_else(|| Refusal::NotFound {
            what: format!("DAG {} has no trigger {} now", what.dag_id, what.trigger),
        })
    }

    /// Whoever calls a webhook decides how often: it must not fill the database.
    fn refuse_when_full(&self, dag_no: DagNo, dag_id: &str) -> Result<(), Refusal> {
        if self.dags[&dag_no].turns.n_queued() < WAITING_MAX {
            return Ok(());
        }
        Err(Refusal::Unavailable {
            what: format!("{WAITING_MAX} runs of DAG {dag_id} wait already; come again later"),
        })
    }
}

fn run_id(trigger: &EventTrigger, at: Ts) -> String {
    format!("{}__{}__{at}", trigger.source.name(), trigger.name)
}

/// `run_if`: what it cannot decide is refused, and told to whoever calls.
fn is_wanted(dag: &Dag, trigger: &EventTrigger, seen: &Value) -> Result<bool, Refusal> {
    let Some(text) = &trigger.run_if else {
        return Ok(true);
    };
    let facts = facts::of_batch(dag, seen);
    match tidemill_template::render_value(text, &facts) {
        Ok(Value::Bool(is_wanted)) => Ok(is_wanted),
        Ok(_) => Err(Refusal::Invalid {
            what: "`run_if` of the trigger must be true or false".to_string(),
        }),
        Err(err) => {
            tracing::warn!(dag.id = %dag.id, trigger = %trigger.name, %err, "`run_if` of a trigger cannot be decided");
            Err(Refusal::Invalid {
                what: "`run_if` of the trigger cannot be decided from this".to_string(),
            })
        }
    }
}
