//! Tasks that choose what follows: `branch`, `short_circuit`, `latest_only`. They need no process;
//! their outcome says which tasks follow.

use super::child;
use crate::AttemptSpec;
use crate::render::{condition, could_not_start, render_value, shortened};
use serde_json::Value;
use tidemill_model::dag::{Branch, BranchClock, Case, Gate, When};
use tidemill_model::{Dag, Operator, Outcome, TaskIndex, Ts};
use tidemill_template::Facts;

/// The outcome of a task that starts no process.
pub(crate) fn outcome(spec: &AttemptSpec) -> Outcome {
    let (dag, facts, now) = (&spec.dag, &spec.facts, spec.now);
    let chosen = match &dag.task(spec.task).operator {
        Operator::Empty | Operator::Shell(_) | Operator::InProcess(_) => return Outcome::success(),
        // Its conditions let it wait; the scheduler does that.
        Operator::TimeSensor(_) | Operator::ExternalTaskSensor(_) => return Outcome::success(),
        Operator::TriggerDagRun(trigger) => return child::outcome(trigger, facts),
        Operator::Branch(branch) => branch_names(branch, dag, spec.task, facts, now).map(Some),
        Operator::ShortCircuit(gate) => gate_names(gate, facts),
        Operator::LatestOnly => Ok((!is_latest(dag, facts, now)).then(Vec::new)),
    };
    match chosen {
        Ok(None) => Outcome::success(),
        Ok(Some(names)) => {
            let output = Value::from(names.clone());
            Outcome {
                follows: Some(names),
                values: vec![("return_value".to_string(), output)],
                ..Outcome::success()
            }
        }
        Err(message) => could_not_start(message),
    }
}

fn gate_names(gate: &Gate, facts: &Facts) -> Result<Option<Vec<String>>, String> {
    let is_open = condition("condition", &gate.condition, facts)?;
    Ok((!is_open).then(Vec::new))
}

fn branch_names(
    branch: &Branch,
    dag: &Dag,
    task: TaskIndex,
    facts: &Facts,
    now: Ts,
) -> Result<Vec<String>, String> {
    let names = match branch {
        Branch::Names(text) => {
            let value = render_value(text, facts).map_err(|err| format!("branch: {err}"))?;
            names_in(&value)?
        }
        Branch::Cases { cases, look_at } => {
            let at = match look_at {
                BranchClock::Now => Some(now),
                BranchClock::LogicalDate => facts.logical_date,
            };
            first_case(cases, facts, at)?
        }
    };
    match names.iter().find(|name| dag.named(name).is_empty()) {
        Some(name) => Err(format!(
            "branch: `{name}` is not a task or a group of this DAG; directly after `{}` there are: {}",
            dag.task(task).id,
            below(dag, task)
        )),
        None => Ok(names),
    }
}

fn below(dag: &Dag, task: TaskIndex) -> String {
    let below = dag.graph.downstream(task).iter();
    let names: Vec<&str> = below.map(|at| dag.task(*at).id.as_str()).collect();
    names.join(", ")
}

/// One name, a list of names, or nothing.
fn names_in(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || {
        format!(
            "branch must give a name or a list of names, it gives {}",
            shortened(value)
        )
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(name) if name.trim().is_empty() => Ok(Vec::new()),
        Value::String(name) => Ok(vec![name.trim().to_string()]),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_string).ok_or_else(wrong))
            .collect(),
        _ => Err(wrong()),
    }
}

/// The first case that holds; nothing follows when none does.
fn first_case(cases: &[Case], facts: &Facts, at: Option<Ts>) -> Result<Vec<String>, String> {
    for case in cases {
        let holds = match &case.when {
            When::If(text) => condition("if", text, facts)?,
            When::Days(days) => days.contains(&local(facts, at)?.0),
            When::Between(from, to) => is_between(local(facts, at)?.1, *from, *to),
            When::Else => true,
        };
        if holds {
            return Ok(case.then.clone());
        }
    }
    Ok(Vec::new())
}

/// The day of the week, 0 for Sunday, and the seconds since midnight in the DAG's time zone.
fn local(facts: &Facts, at: Option<Ts>) -> Result<(u8, u32), String> {
    let at = at.ok_or("branch: this run has no logical date to look at")?;
    at.local(&facts.timezone)
        .map(|local| (local.day_of_week, local.seconds))
        .ok_or_else(|| format!("branch: the time zone {} is not known", facts.timezone))
}

fn is_between(seconds: u32, from: u32, to: u32) -> bool {
    if from <= to {
        (from..to).contains(&seconds)
    } else {
        seconds >= from || seconds < to
    }
}

/// Is no later run due by now? A run that a person made always counts as the latest (Airflow's
/// LatestOnlyOperator). What is asked is the tick, with which every data interval ends: the logical
/// date may be the tick before.
fn is_latest(dag: &Dag, facts: &Facts, now: Ts) -> bool {
    if !matches!(facts.run_type.as_str(), "scheduled" | "backfill") {
        return true;
    }
    let Some(tick) = facts.data_interval_end.or(facts.logical_date) else {
        return true;
    };
    let Some(next) = dag.schedule.next_after(tick) else {
        return true;
    };
    let date = dag.schedule.about(next).logical_date;
    now < next.after(dag.schedule.offset(&dag.id)) || dag.end_date.is_some_and(|end| end < date)
}

#[cfg(test)]
mod tests {
    use super::is_between;

    #[test]
    fn a_span_of_the_day_may_go_over_midnight() {
        let hours = |from: u32, to: u32| {
            (0..24).filter(move |hour| is_between(hour * 3600, from * 3600, to * 3600))
        };
        assert_eq!(hours(6, 9).collect::<Vec<_>>(), [6, 7, 8]);
        assert_eq!(hours(22, 2).collect::<Vec<_>>(), [0, 1, 22, 23]);
        assert_eq!(hours(5, 5).count(), 0);
    }
}
