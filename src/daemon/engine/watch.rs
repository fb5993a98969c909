//! Instances that wait for something outside of their run: who waits for what, and telling them
//! when it moves. Nothing is looked at again and again: a wait costs its place in these maps and
//! one timer.

use super::Engine;
use super::people::named_places;
use crate::daemon::outputs;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tidemill_model::attempt::ChildWish;
use tidemill_model::dag::{External, ExternalTask, Match};
use tidemill_model::{DagNo, Operator, RunNo, RunRow, TaskIndex, TaskNo, TaskState, Ts};
use tidemill_scheduler::{Event, Heard, Run};
use tidemill_store::DateSpan;

/// An instance that waits.
pub(super) type Waiter = (RunNo, TaskIndex);

/// What is waited for in a run: a task, or the run itself.
type Watched = (RunNo, Option<TaskNo>);

/// Who waits for what.
#[derive(Default)]
pub(super) struct Watches {
    /// Who is told when it moves.
    waiters: HashMap<Watched, BTreeSet<Waiter>>,
    /// What each waiter is told of.
    watched: HashMap<Waiter, Vec<Watched>>,
    /// Sensors by the DAG that they look at and the last logical date that they look for, with
    /// the first: a new run there may be what they wait for.
    dates: HashMap<String, BTreeMap<(Ts, Waiter), Option<Ts>>>,
    /// Where a waiter stands in `dates`.
    sensors: HashMap<Waiter, (String, Ts)>,
    /// Those to be told in this pass what they wait for, found anew.
    pub resolve: BTreeSet<Waiter>,
    /// Those to be told in this pass how it stands.
    moved: BTreeSet<Waiter>,
    /// Runs that are wanted in this pass.
    pub wishes: Vec<(Waiter, Box<ChildWish>)>,
}

impl Watches {
    /// A run, or a task instance of it, has another state.
    pub(super) fn has_moved(&mut self, run: RunNo, task_no: Option<TaskNo>) {
        if let Some(waiters) = self.waiters.get(&(run, task_no)) {
            self.moved.extend(waiters);
        }
    }

    /// A run is new.
    pub(super) fn run_is_new(&mut self, dag_id: &str, row: &RunRow) {
        let (Some(date), Some(sensors)) = (row.logical_date, self.dates.get(dag_id)) else {
            return;
        };
        let from = (date, (RunNo(i64::MIN), TaskIndex(0)));
        let may_mean = sensors.range(from..);
        let may_mean = may_mean.filter(|(_, first)| first.is_none_or(|first| first <= date));
        self.resolve
            .extend(may_mean.map(|((_, waiter), _)| *waiter));
    }

    /// An instance waits no more.
    pub(super) fn forget(&mut self, waiter: Waiter) {
        for key in self.watched.remove(&waiter).unwrap_or_default() {
            if let Some(waiters) = self.waiters.get_mut(&key) {
                waiters.remove(&waiter);
                if waiters.is_empty() {
                    self.waiters.remove(&key);
                }
            }
        }
        if let Some((dag_id, until)) = self.sensors.remove(&waiter)
            && let Some(sensors) = self.dates.get_mut(&dag_id)
        {
            sensors.remove(&(until, waiter));
            if sensors.is_empty() {
                self.dates.remove(&dag_id);
            }
        }
    }

    /// The run that an instance waits for, if that is there.
    pub(super) fn run_of(&self, waiter: Waiter) -> Option<RunNo> {
        let watched = self.watched.get(&waiter)?;
        watched.first().map(|(run, _)| *run)
    }

    /// The logical dates, the first and the last, of the runs that a sensor looks for.
    pub(super) fn dates_of(&self, waiter: Waiter) -> Option<(Option<Ts>, Ts)> {
        let (dag_id, until) = self.sensors.get(&waiter)?;
        let from = self.dates.get(dag_id)?.get(&(*until, waiter))?;
        Some((*from, *until))
    }

    pub(super) fn watch(&mut self, waiter: Waiter, watched: Vec<Watched>) {
        for key in self.watched.remove(&waiter).unwrap_or_default() {
            if let Some(waiters) = self.waiters.get_mut(&key) {
                waiters.remove(&waiter);
            }
        }
        for key in &watched {
            self.waiters.entry(*key).or_default().insert(waiter);
        }
        self.watched.insert(waiter, watched);
    }

    fn look_for(&mut self, waiter: Waiter, dag_id: &str, span: &DateSpan) {
        self.forget(waiter);
        let sensors = self.dates.entry(dag_id.to_string()).or_default();
        sensors.insert((span.until, waiter), span.from);
        self.sensors
            .insert(waiter, (dag_id.to_string(), span.until));
    }

    fn is_settled(&self) -> bool {
        self.resolve.is_empty() && self.moved.is_empty() && self.wishes.is_empty()
    }
}

/// What one look at many waiters has read already.
#[derive(Default)]
struct Seen {
    newest: HashMap<(DagNo, DateSpan), Option<RunNo>>,
    over: HashMap<RunNo, Option<Run>>,
}

impl Engine {
    /// Makes the runs that tasks want, and tells those who wait how it stands.
    pub(super) fn take_watches(&mut self) {
        let mut seen = Seen::default();
        while !self.watches.is_settled() {
            for (waiter, wish) in std::mem::take(&mut self.watches.wishes) {
                self.make_child(waiter, *wish);
            }
            for waiter in std::mem::take(&mut self.watches.resolve) {
                match self.operator_of(waiter) {
                    Some(Operator::ExternalTaskSensor(sensor)) => {
                        self.find_external(waiter, &sensor, &mut seen);
                    }
                    Some(Operator::TriggerDagRun(_)) => self.find_child(waiter),
                    _ => {}
                }
            }
            for waiter in std::mem::take(&mut self.watches.moved) {
                self.tell_waiter(waiter, &mut seen);
            }
            self.take_past();
        }
    }

    /// What an instance does that waits without a worker.
    fn operator_of(&self, (run_no, at): Waiter) -> Option<Operator> {
        let run = self.runs.get(&run_no)?;
        let task = &run.tasks[at.at()];
        let waits = task.state == TaskState::Deferred && !task.is_live();
        waits.then(|| run.task(at).operator.clone())
    }

    fn hear(&mut self, (run_no, at): Waiter, heard: Heard) {
        self.step(run_no, Event::Heard(at, heard));
    }

    /// Looks for what a sensor waits for, and tells it how that stands.
    fn find_external(&mut self, waiter: Waiter, sensor: &ExternalTask, seen: &mut Seen) {
        let Some(span) = self.span_of(waiter.0, sensor) else {
            let why = "its run has no logical date to look for".to_string();
            return self.hear(waiter, Heard::Missing(why));
        };
        self.watches.look_for(waiter, &sensor.dag_id, &span);
        if let Some(why) = self.missing(sensor) {
            return self.hear(waiter, Heard::Missing(why));
        }
        let Some(&dag_no) = self.dag_ids.get(&sensor.dag_id) else {
            return;
        };
        let target = match seen.newest.get(&(dag_no, span)) {
            Some(known) => *known,
            None => {
                let found = self.newest_run(dag_no, &span).map(|row| row.run);
                seen.newest.insert((dag_no, span), found);
                found
            }
        };
        if let Some(target) = target {
            let watched = self.looked_at(target, sensor, seen);
            let watched = watched.map_or(vec![(target, None)], |(watched, _)| watched);
            self.watches.watch(waiter, watched);
            self.tell_waiter(waiter, seen);
        }
    }

    /// The logical dates among which a sensor's run is.
    fn span_of(&mut self, run_no: RunNo, sensor: &ExternalTask) -> Option<DateSpan> {
        let row = self.runs.get(&run_no)?.row.clone();
        let date = row.logical_date?;
        let (from, until) = match sensor.matching {
            Match::Same => (Some(date), date),
            Match::Latest => {
                let earlier = DateSpan {
                    from: None,
                    until: Ts(date.0.checked_sub(1)?),
                    with_manual: true,
                };
                let before = self.newest_run(row.dag, &earlier);
                let after = before.and_then(|before| before.logical_date);
                (after.map(|at| Ts(at.0.saturating_add(1))), date)
            }
            Match::Interval => {
                let start = row.data_interval_start.unwrap_or(date);
                (Some(start), row.data_interval_end.unwrap_or(date))
            }
        };
        Some(DateSpan {
            from: from.map(|from| from.before(sensor.delta)),
            until: until.before(sensor.delta),
            with_manual: true,
        })
    }

    /// What of a sensor's wishes is not there, where that is to fail it.
    fn missing(&self, sensor: &ExternalTask) -> Option<String> {
        if !sensor.check_existence {
            return None;
        }
        let id = &sensor.dag_id;
        let state = self.dag_ids.get(id).and_then(|no| self.dags.get(no));
        let Some(definition) = state.and_then(|state| state.definition.as_ref()) else {
            return Some(format!("there is no DAG {id}"));
        };
        let names = match &sensor.what {
            External::Run => &[],
            External::Tasks(names) => names.as_slice(),
            External::Group(name) => std::slice::from_ref(name),
        };
        let unknown = names
            .iter()
            .find(|name| named_places(&definition.dag, name).is_empty())?;
        Some(format!("DAG {id} has no task or group {unknown}"))
    }

    /// What a sensor looks at in a run, and how it stands; `None` for a run that cannot be read.
    fn looked_at(
        &mut self,
        target: RunNo,
        sensor: &ExternalTask,
        seen: &mut Seen,
    ) -> Option<(Vec<Watched>, Vec<TaskState>)> {
        if !self.runs.contains_key(&target) && !seen.over.contains_key(&target) {
            let read = self.read_run(target);
            seen.over.insert(target, read);
        }
        let over = || seen.over.get(&target).and_then(Option::as_ref);
        let run = self.runs.get(&target).or_else(over)?;
        let names = match &sensor.what {
            External::Run => {
                let state = TaskState::from_name(run.row.state.name());
                let state = state.unwrap_or(TaskState::None);
                return Some((vec![(target, None)], vec![state]));
            }
            External::Tasks(names) => names.as_slice(),
            External::Group(name) => std::slice::from_ref(name),
        };
        let (mut watched, mut states) = (Vec::new(), Vec::new());
        for name in names {
            let tasks = named_places(&run.dag, name);
            if tasks.is_empty() {
                states.push(TaskState::None); // it may come with a later version of the run
            }
            for task in tasks {
                watched.push((target, Some(run.tasks[task.at()].task_no)));
                let places = run.places_of(task).into_iter();
                states.extend(places.map(|at| run.tasks[at.at()].state));
            }
        }
        if watched.is_empty() {
            watched.push((target, None));
        }
        Some((watched, states))
    }

    /// Tells a waiter how that stands which it waits for.
    fn tell_waiter(&mut self, waiter: Waiter, seen: &mut Seen) {
        let Some(target) = self.watches.run_of(waiter) else {
            return;
        };
        match self.operator_of(waiter) {
            Some(Operator::ExternalTaskSensor(sensor)) => {
                if let Some((_, states)) = self.looked_at(target, &sensor, seen) {
                    self.hear(waiter, Heard::States(states));
                }
            }
            Some(Operator::TriggerDagRun(_)) => {
                let child = self.runs.get(&target).map(|run| run.row.state);
                if let Some(state) = child {
                    self.hear(waiter, Heard::Child(state));
                }
            }
            _ => self.watches.forget(waiter),
        }
    }

    /// After a restart: the run that a task has started, by the values that it kept then.
    fn find_child(&mut self, waiter: Waiter) {
        let (run_no, at) = waiter;
        let Some(run) = self.runs.get(&run_no) else {
            return;
        };
        let row = &run.tasks[at.at()];
        let (task_no, own) = (row.task_no, outputs::only(row.map_index));
        let kept = self.instance_values(run_no, task_no, own);
        let kept = kept.into_iter().flatten().filter_map(|one| one.value);
        let kept: BTreeMap<String, Value> = kept.collect();
        let value = |key: &str| kept.get(key)?.as_str().map(str::to_string);
        let named = value("trigger_dag_id").zip(value("trigger_run_id"));
        let found = named.and_then(|(dag_id, run_id)| {
            let dag_no = *self.dag_ids.get(&dag_id)?;
            self.run_row_of(dag_no, &run_id)
        });
        let Some(child) = found else {
            let why = "the run that it has started is no longer there".to_string();
            return self.hear(waiter, Heard::Missing(why));
        };
        self.watches.watch(waiter, vec![(child.run, None)]);
        self.hear(waiter, Heard::Child(child.state));
    }

    fn run_row_of(&mut self, dag_no: DagNo, run_id: &str) -> Option<RunRow> {
        let mut active = self.runs.values().map(|run| &run.row);
        if let Some(row) = active.find(|row| row.dag == dag_no && row.run_id == run_id) {
            return Some(row.clone());
        }
        let store = Arc::clone(&self.store);
        let found = self.insist("Reading a run", || store.find_run(dag_no, run_id));
        found.ok().flatten()
    }
}
