//! Counters that follow the rows of a run: how far the tasks above each task are.

use crate::rule::{Counts, UpstreamCounts};
use crate::run::Run;
use tidemill_model::dag::Role;
use tidemill_model::{Dag, Operator, TaskIndex, TaskRow, TaskState};

impl Run {
    /// Counts everything anew from the rows.
    pub(crate) fn recount(&mut self) {
        self.upstream = vec![UpstreamCounts::default(); self.dag.tasks.len()];
        let in_step = self.in_step.values_mut();
        in_step.for_each(|one| one.beside = Counts::default());
        for at in self.places() {
            self.count(at, 1);
        }
        let count = |is: fn(&TaskRow) -> bool| self.tasks.iter().filter(|row| is(row)).count();
        self.n_open = count(|row| !row.state.is_terminal()) as u32;
        self.n_live = count(TaskRow::is_live) as u32;
        self.n_waiting = count(|row| is_waiting(row.state)) as u32;
    }

    /// Counts an instance in its present state in, or with `by = -1` out again, wherever another
    /// task looks at it.
    pub(crate) fn count(&mut self, at: TaskIndex, by: i32) {
        let dag = std::sync::Arc::clone(&self.dag);
        let state = self.tasks[at.at()].state;
        let at = self.index_of(at);
        let is_setup = dag.task(at).role == Role::Setup;
        let instance = |counts: &mut Counts| {
            counts.total = counts.total.wrapping_add_signed(by);
            counts.count(state, by);
        };
        for down in dag.graph.downstream(at) {
            let upstream = &mut self.upstream[down.at()];
            instance(&mut upstream.near);
            if is_setup {
                instance(&mut upstream.near_setups);
            }
            if let Some(in_step) = self.in_step.get_mut(down).filter(|one| one.source != at) {
                instance(&mut in_step.beside);
            }
        }
        for far in dag.scopes.far_dependents(at) {
            instance(&mut self.upstream[far.at()].far_setups);
        }
        if !state.is_terminal() {
            for teardown in dag.scopes.watching_teardowns(at) {
                let open = &mut self.upstream[teardown.at()].open_in_scope;
                *open = open.wrapping_add_signed(by);
            }
        }
        if dag.task(at).operator.decides() {
            self.count_decider(&dag, at, by);
        }
    }

    /// A branch that is open may still close each task in its reach; one that succeeded has closed
    /// those that it did not choose.
    fn count_decider(&mut self, dag: &Dag, at: TaskIndex, by: i32) {
        let row = &self.tasks[at.at()];
        let is_open = !row.state.is_terminal();
        let followed = row
            .followed
            .clone()
            .filter(|_| row.state == TaskState::Success);
        if !is_open && followed.is_none() {
            return;
        }
        for below in reach(dag, at) {
            let upstream = &mut self.upstream[below.at()];
            if is_open {
                upstream.open_deciders = upstream.open_deciders.wrapping_add_signed(by);
            } else if followed
                .as_ref()
                .is_some_and(|followed| !followed.contains(&self.tasks[below.at()].task_no))
            {
                upstream.not_followed_by = upstream.not_followed_by.wrapping_add_signed(by);
            }
        }
    }

    /// Every task that may have become ready or blocked by the end of `at`, and of those that go
    /// in step with its task the one instance that waits for it.
    pub(crate) fn followers(&self, at: TaskIndex) -> Vec<TaskIndex> {
        let (dag, instance, at) = (&self.dag, at, self.index_of(at));
        let below = dag.graph.downstream(at).iter();
        let mut found: Vec<TaskIndex> = below
            .map(|&down| self.one_beside(instance, down).unwrap_or(down))
            .collect();
        found.extend_from_slice(dag.scopes.far_dependents(at));
        found.extend_from_slice(dag.scopes.watching_teardowns(at));
        if is_gate(&dag.task(at).operator) {
            found.extend(reach(dag, at));
        }
        found
    }
}

/// The tasks that a branch or a gate may close: those directly below it, or for a gate that
/// ignores the rules below all of them; teardown tasks are never closed by a gate.
fn reach(dag: &Dag, at: TaskIndex) -> Vec<TaskIndex> {
    let not_teardown = |below: &TaskIndex| !dag.task(*below).role.is_teardown();
    match &dag.task(at).operator {
        Operator::ShortCircuit(gate) if gate.ignores_rules => {
            let below = dag.graph.reach(&[at], true).into_iter();
            below
                .filter(|below| *below != at)
                .filter(not_teardown)
                .collect()
        }
        Operator::ShortCircuit(_) => {
            let below = dag.graph.downstream(at).iter().copied();
            below.filter(not_teardown).collect()
        }
        _ => dag.graph.downstream(at).to_vec(),
    }
}

fn is_gate(operator: &Operator) -> bool {
    matches!(operator, Operator::ShortCircuit(gate) if gate.ignores_rules)
}

/// Will a slot or a timer move it, without any other task?
pub(crate) const fn is_waiting(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::Scheduled
            | TaskState::Queued
            | TaskState::UpForRetry
            | TaskState::UpForReschedule
            | TaskState::Deferred
    )
}
