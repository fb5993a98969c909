//! The world around `step`: workers that end as the seed says, and crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::{
    Dag, OnLost, Operator, RetryPolicy, RetryScope, Role, RunRetry, Shell, ShellBody, ShellOutput,
    Task,
};
use tidemill_model::schedule::Schedule;
use tidemill_model::scope::Scopes;
use tidemill_model::{
    Attempt, DagNo, Graph, Outcome, Reason, RunNo, RunRow, RunState, RunType, TaskIndex, TaskNo,
    TaskState, TriggerRule, Ts, VersionNo,
};
use tidemill_scheduler::{ClearChoice, Effect, Event, Run, plan_clear, step};

/// A small generator of chance with a seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

pub struct World {
    seed: u64,
    chance: Chance,
    now: Ts,
    run: Run,
    ready: Vec<TaskIndex>,
    live: Vec<(TaskIndex, Attempt)>,
    timers: Vec<(Ts, TaskIndex)>,
    starts: BTreeMap<TaskIndex, u32>,
    is_quiet: bool,
    n_people: u32,
}

impl World {
    pub fn new(seed: u64) -> World {
        World::with(seed, seed, 3, false)
    }

    /// No losses and no people: ends are a property of the task, only their order is chance.
    pub fn quiet(seed: u64, order: u64) -> World {
        World::with(seed, order, 0, true)
    }

    pub fn without_retries(seed: u64) -> World {
        let mut world = World::with(seed, seed, 0, false);
        world.n_people = u32::MAX;
        world
    }

    fn with(seed: u64, order: u64, retries: u32, is_quiet: bool) -> World {
        let dag = Arc::new(random_dag(&mut Chance(seed), retries));
        let task_nos: Vec<TaskNo> = (1..=dag.tasks.len() as i32).map(TaskNo).collect();
        World {
            seed,
            chance: Chance(order ^ 0xABCD),
            now: Ts(1_000_000),
            run: Run::new(run_row(), dag, &task_nos, Vec::new()),
            ready: Vec::new(),
            live: Vec::new(),
            timers: Vec::new(),
            starts: BTreeMap::new(),
            is_quiet,
            n_people: 0,
        }
    }

    pub fn play(&mut self) {
        self.step(Event::Begin);
        for _ in 0..20_000 {
            if self.run.row.state.is_terminal() {
                return;
            }
            self.now = Ts(self.now.0 + 1_000);
            self.act();
            self.check();
        }
        panic!(
            "seed {}: the run does not end: {:?}",
            self.seed,
            self.states()
        );
    }

    fn act(&mut self) {
        let n_choices = if self.is_quiet { 6 } else { 10 };
        match self.chance.below(n_choices) {
            0..=2 => self.launch_one(),
            3 | 4 => self.end_one(),
            5 => self.next_timer(),
            6 => self.lose_one(),
            7 => self.report_stale(),
            8 => self.crash(),
            _ => self.person(),
        }
    }

    fn launch_one(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let at = self.chance.below(self.ready.len() as u64) as usize;
        let task = self.ready.swap_remove(at);
        if !self.run.wants_slot(task) {
            return;
        }
        for up in self.run.dag.graph.upstream(task) {
            let state = self.run.tasks[up.at()].state;
            if self.n_people > 0 && self.n_people < u32::MAX {
                continue; // a person may have cleared or marked what this task had waited for
            }
            assert_eq!(
                state,
                TaskState::Success,
                "seed {}: {task:?} starts before {up:?}",
                self.seed
            );
        }
        let (attempt, _) = self.run.launch(task, 1, self.now);
        *self.starts.entry(task).or_default() += 1;
        self.live.push((task, attempt));
    }

    fn end_one(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let at = self.chance.below(self.live.len() as u64) as usize;
        let (task, attempt) = self.live.swap_remove(at);
        let outcome = self.outcome_of(task);
        self.step(Event::AttemptEnded {
            attempt,
            outcome: Box::new(outcome),
        });
    }

    fn outcome_of(&mut self, task: TaskIndex) -> Outcome {
        let fate = if self.is_quiet {
            Chance(self.seed ^ u64::from(task.0) << 20).below(8)
        } else {
            self.chance.below(8)
        };
        match fate {
            0 => Outcome::without_process(Verdict::Failed, Reason::ExitStatus, "exit 1"),
            1 => Outcome::without_process(Verdict::Skipped, Reason::SkippedItself, "exit 99"),
            _ => Outcome::success(),
        }
    }

    fn next_timer(&mut self) {
        self.timers.sort_unstable();
        if !self.timers.is_empty() && self.ready.is_empty() && self.live.is_empty() {
            let (due, task) = self.timers.remove(0);
            self.now = self.now.max(due);
            self.step(Event::TimerDue(task));
        }
    }

    fn lose_one(&mut self) {
        if let Some((_, attempt)) = self.live.pop() {
            self.step(Event::AttemptLost {
                attempt,
                blame: true,
            });
        }
    }

    fn report_stale(&mut self) {
        let Some((_, attempt)) = self.live.first().copied() else {
            return;
        };
        let stale = Attempt {
            epoch: tidemill_model::Epoch(attempt.epoch.0 - 1),
            ..attempt
        };
        let before = self.states();
        let effects = step(
            &mut self.run,
            Event::AttemptEnded {
                attempt: stale,
                outcome: Box::new(Outcome::success()),
            },
            self.now,
        );
        assert_eq!(effects, vec![Effect::Stale(stale)], "seed {}", self.seed);
        assert_eq!(before, self.states(), "seed {}", self.seed);
    }

    /// The process dies: memory is rebuilt from rows, what was live is lost.
    fn crash(&mut self) {
        let task_nos: Vec<TaskNo> = self.run.tasks.iter().map(|task| task.task_no).collect();
        let touched = self
            .run
            .tasks
            .iter()
            .filter(|task| task.state != TaskState::None)
            .cloned()
            .collect();
        self.run = Run::new(
            self.run.row.clone(),
            Arc::clone(&self.run.dag),
            &task_nos,
            touched,
        );
        self.ready.clear();
        self.timers.clear();
        self.step(Event::Resume);
        for (_, attempt) in std::mem::take(&mut self.live) {
            self.step(Event::AttemptLost {
                attempt,
                blame: false,
            });
        }
    }

    fn person(&mut self) {
        if self.n_people >= 3 {
            return;
        }
        self.n_people += 1;
        let at = TaskIndex(self.chance.below(self.run.tasks.len() as u64) as u32);
        match self.chance.below(4) {
            0 => {
                let choice = ClearChoice {
                    tasks: vec![at],
                    downstream: true,
                    ..ClearChoice::default()
                };
                let chosen = plan_clear(&self.run, &choice);
                self.step(Event::Clear(chosen));
            }
            1 => self.step(Event::Mark(vec![at], TaskState::Success)),
            2 => self.step(Event::Mark(vec![at], TaskState::Failed)),
            _ if self.chance.below(4) == 0 => self.step(Event::Cancel),
            _ => {}
        }
    }

    fn step(&mut self, event: Event) {
        for effect in step(&mut self.run, event, self.now) {
            match effect {
                Effect::Ready(at) => self.ready.push(at),
                Effect::Wake(at, due) => self.timers.push((due, at)),
                // A killed attempt ends some time later, like any other.
                Effect::Kill(..) | Effect::Task(_) | Effect::Run | Effect::KeepTry(_) => {}
                Effect::BeginAt(_)
                | Effect::Emit(..)
                | Effect::Watch(_)
                | Effect::MakeChild(..)
                | Effect::Replace(_)
                | Effect::ClearValues(_)
                | Effect::KeepValue(..)
                | Effect::Stale(_) => {}
            }
        }
    }

    fn check(&self) {
        let n_live = self.run.tasks.iter().filter(|task| task.is_live()).count();
        assert_eq!(n_live, self.live.len(), "seed {}: live attempts", self.seed);
        assert_eq!(
            n_live,
            self.run.n_live() as usize,
            "seed {}: counted attempts",
            self.seed
        );
        for (at, task) in self.run.tasks.iter().enumerate() {
            let index = TaskIndex(at as u32);
            let mut counts = tidemill_scheduler::Counts::default();
            for up in self.run.dag.graph.upstream(index) {
                counts.total += 1;
                counts.count(self.run.tasks[up.at()].state, 1);
            }
            assert_eq!(
                counts,
                self.run.upstream(index).near,
                "seed {}: counters of {at}",
                self.seed
            );
            assert_eq!(
                task.epoch.0 as i32, task.try_number,
                "seed {}: each attempt is a try",
                self.seed
            );
        }
    }

    fn states(&self) -> Vec<TaskState> {
        self.run.tasks.iter().map(|task| task.state).collect()
    }

    pub fn final_states(mut self) -> (RunState, Vec<TaskState>) {
        self.play();
        (self.run.row.state, self.states())
    }

    pub fn assert_over(&self) {
        assert!(
            self.states().iter().all(|state| state.is_terminal()),
            "seed {}: {:?}",
            self.seed,
            self.states()
        );
        assert!(
            self.live.is_empty(),
            "seed {}: an attempt outlives its run",
            self.seed
        );
        if self.run.row.state == RunState::Success {
            let ends_well = |state: &TaskState| !state.is_failure();
            let leaves = (0..self.run.tasks.len() as u32)
                .map(TaskIndex)
                .filter(|at| self.run.dag.graph.downstream(*at).is_empty());
            assert!(
                leaves
                    .map(|at| self.run.tasks[at.at()].state)
                    .all(|state| ends_well(&state)),
                "seed {}",
                self.seed
            );
        }
    }

    pub fn assert_started_once(&self) {
        assert!(
            self.starts.values().all(|n| *n == 1),
            "seed {}: {:?}",
            self.seed,
            self.starts
        );
    }
}

fn random_dag(chance: &mut Chance, retries: u32) -> Dag {
    let n_tasks = 1 + chance.below(12) as u32;
    let mut edges = Vec::new();
    for to in 1..n_tasks {
        for from in 0..to {
            if chance.below(4) == 0 {
                edges.push((from, to));
            }
        }
    }
    let tasks: Vec<Task> = (0..n_tasks).map(|at| task(at, retries)).collect();
    let graph = Graph::new(n_tasks as usize, edges).unwrap();
    Dag {
        id: "simulated".to_string(),
        display_name: None,
        description: None,
        doc_md: None,
        owner: String::new(),
        tags: Vec::new(),
        schedule: Schedule::MANUAL,
        asset_schedule: None,
        assets: Vec::new(),
        schedule_text: String::new(),
        timezone: "UTC".to_string(),
        start_date: None,
        end_date: None,
        catchup: false,
        is_paused_upon_creation: false,
        allowed_run_types: vec![RunType::Manual],
        max_active_runs: 1,
        max_active_tasks: 16,
        concurrency: None,
        dagrun_timeout: None,
        fail_fast: false,
        retry: RunRetry {
            retries: 0,
            delay: Duration::ZERO,
            scope: RetryScope::Failed,
        },
        rerun_with_latest_version: false,
        triggers: Vec::new(),
        alerts: Vec::new(),
        params: Vec::new(),
        groups: Vec::new(),
        scopes: Scopes::new(&tasks, &graph),
        tasks,
        graph,
    }
}

fn task(at: u32, retries: u32) -> Task {
    Task {
        id: format!("t{at}"),
        display_name: None,
        doc_md: None,
        owner: String::new(),
        group: None,
        operator: command(),
        role: Role::Work,
        trigger_rule: TriggerRule::AllSuccess,
        past: None,
        run_if: None,
        skip_if: None,
        retry: RetryPolicy {
            retries,
            delay: Duration::from_secs(1),
            multiplier: 0.0,
            max_delay: None,
            jitter: false,
            rules: Vec::new(),
        },
        execution_timeout: None,
        pool: "default_pool".to_string(),
        pool_slots: 1,
        priority_weight: 1,
        weight_rule: tidemill_model::WeightRule::Downstream,
        total_weight: 1,
        max_active_tis_per_dag: None,
        max_active_tis_per_dagrun: None,
        queue: "default".to_string(),
        cwd: None,
        env: Vec::new(),
        inherit_env: true,
        secrets: Vec::new(),
        run_as_user: None,
        inlets: Vec::new(),
        outlets: Vec::new(),
        outputs: Vec::new(),
        do_xcom_push: true,
        on_lost: if retries > 0 {
            OnLost::Retry
        } else {
            OnLost::Fail
        },
        mapping: None,
        reads: Vec::new(),
        uses: tidemill_model::Uses::default(),
        alerts: Vec::new(),
        line: 1,
    }
}

/// A command: what starts it again repeats something of the user's.
fn command() -> Operator {
    Operator::Shell(Shell {
        body: ShellBody::Command("true".to_string()),
        interpreter: None,
        args: Vec::new(),
        stdin: None,
        skip_on_exit_code: vec![99],
        success_exit_codes: vec![0],
        output: ShellOutput::LastLine,
    })
}

fn run_row() -> RunRow {
    RunRow {
        run: RunNo(1),
        dag: DagNo(1),
        run_id: "manual__1".to_string(),
        run_type: RunType::Manual,
        state: RunState::Queued,
        version: VersionNo(1),
        cause: None,
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        run_after: Ts(0),
        queued_at: Ts(0),
        started_at: None,
        ended_at: None,
        conf: tidemill_model::Json::Null,
        triggered_by: None,
        note: None,
        reason: None,
        retries_used: 0,
    }
}
