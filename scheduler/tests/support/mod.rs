//! DAGs by a few words, a seeded generator of chance, and a small world that plays a run.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::attempt::Verdict;
use tidemill_model::dag::{
    Branch, Dag, Gate, OnLost, Operator, RetryPolicy, RetryScope, Role, RunRetry, Shell, ShellBody,
    ShellOutput, Task,
};
use tidemill_model::schedule::Schedule;
use tidemill_model::scope::Scopes;
use tidemill_model::{
    Attempt, DagNo, Graph, Outcome, Reason, RunNo, RunRow, RunState, RunType, TaskIndex, TaskNo,
    TaskState, TriggerRule, Ts, VersionNo,
};
use tidemill_scheduler::{Effect, Event, Run, step};

/// A small generator of chance with a seed (SplitMix64).
#[derive(Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len() as u64) as usize]
    }
}

/// Prints past the harness, which keeps to itself what a test that passes says.
pub fn tell(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes()); // nobody may be reading
}

/// A DAG that is being drawn.
#[derive(Default)]
pub struct Sketch {
    pub tasks: Vec<Task>,
    pub edges: Vec<(u32, u32)>,
}

impl Sketch {
    /// Adds a shell task after others.
    pub fn add(&mut self, id: &str, after: &[&str]) -> &mut Task {
        let to = self.tasks.len() as u32;
        for name in after {
            let from = self.tasks.iter().position(|task| task.id == *name).unwrap();
            self.edges.push((from as u32, to));
        }
        self.tasks.push(task(id));
        self.tasks.last_mut().unwrap()
    }

    pub fn build(self) -> Dag {
        let graph = Graph::new(self.tasks.len(), self.edges).unwrap();
        Dag {
            id: "sketch".to_string(),
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
            rerun_with_latest_version: None,
            max_consecutive_failed_runs: 0,
            triggers: Vec::new(),
            event_triggers: Vec::new(),
            alerts: Vec::new(),
            deadlines: Vec::new(),
            fail_fast: false,
            retry: RunRetry {
                retries: 0,
                delay: Duration::ZERO,
                scope: RetryScope::Failed,
            },
            params: Vec::new(),
            groups: Vec::new(),
            scopes: Scopes::new(&self.tasks, &graph),
            tasks: self.tasks,
            graph,
        }
    }
}

pub fn task(id: &str) -> Task {
    Task {
        id: id.to_string(),
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
            retries: 0,
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
        resources: Default::default(),
        inlets: Vec::new(),
        outlets: Vec::new(),
        outputs: Vec::new(),
        do_xcom_push: true,
        on_lost: OnLost::Fail,
        mapping: None,
        reads: Vec::new(),
        reads_files: Vec::new(),
        uses: tidemill_model::Uses::default(),
        alerts: Vec::new(),
        line: 1,
    }
}

/// A command: what starts it again repeats something of the user's.
pub fn command() -> Operator {
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

pub fn branch() -> Operator {
    Operator::Branch(Branch::Names(String::new()))
}

pub fn gate(ignores_rules: bool) -> Operator {
    Operator::ShortCircuit(Gate {
        condition: String::new(),
        ignores_rules,
    })
}

pub const TEARDOWN: Role = Role::Teardown { fails_run: false };

pub fn run_row() -> RunRow {
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

pub fn new_run(dag: Arc<Dag>) -> Run {
    let task_nos: Vec<TaskNo> = (1..=dag.tasks.len() as i32).map(TaskNo).collect();
    Run::new(run_row(), dag, &task_nos, Vec::new())
}

/// How each attempt of a task ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    Ok,
    Fail,
    Skip,
    Follow(Vec<String>),
}

impl Fate {
    pub fn follow(names: &[&str]) -> Fate {
        Fate::Follow(names.iter().map(|name| name.to_string()).collect())
    }

    pub fn outcome(&self) -> Outcome {
        let ended = |verdict, reason| Outcome::without_process(verdict, reason, "as the test says");
        match self {
            Fate::Ok => Outcome::success(),
            Fate::Fail => ended(Verdict::Failed, Reason::ExitStatus),
            Fate::Skip => ended(Verdict::Skipped, Reason::SkippedItself),
            Fate::Follow(names) => Outcome {
                follows: Some(names.clone()),
                ..Outcome::success()
            },
        }
    }
}

/// A run whose tasks end as their fates say, in an order that chance decides.
pub struct Player {
    pub run: Run,
    pub now: Ts,
    pub chance: Chance,
    pub fates: HashMap<String, Fate>,
    pub ready: Vec<TaskIndex>,
    pub live: Vec<(TaskIndex, Attempt)>,
    pub timers: Vec<(Ts, TaskIndex)>,
    pub kills: Vec<(Attempt, Reason)>,
}

impl Player {
    pub fn new(dag: Arc<Dag>, seed: u64, fates: &[(&str, Fate)]) -> Player {
        let own = |(name, fate): &(&str, Fate)| (name.to_string(), fate.clone());
        Player {
            run: new_run(dag),
            now: Ts(1_000_000),
            chance: Chance(seed),
            fates: fates.iter().map(own).collect(),
            ready: Vec::new(),
            live: Vec::new(),
            timers: Vec::new(),
            kills: Vec::new(),
        }
    }

    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        let effects = step(&mut self.run, event, self.now);
        for effect in &effects {
            match effect {
                Effect::Ready(at) => self.ready.push(*at),
                Effect::Wake(at, due) => self.timers.push((*due, *at)),
                Effect::Kill(attempt, reason) => self.kills.push((*attempt, *reason)),
                _ => {}
            }
        }
        self.check_sums();
        effects
    }

    /// What a run counts along is what its rows say.
    fn check_sums(&self) {
        let run = &self.run;
        if run.tasks.len() > 100 {
            return; // long stories are told about other things
        }
        let rows = run.places().filter(|at| !run.is_expanded(*at));
        let rows: Vec<_> = rows.map(|at| run.tasks[at.at()].clone()).collect();
        let own = run.tasks.iter().take(run.dag.tasks.len());
        let task_nos: Vec<TaskNo> = own.map(|row| row.task_no).collect();
        let anew = Run::new(run.row.clone(), Arc::clone(&run.dag), &task_nos, rows);
        let sums = |run: &Run| (run.n_live(), run.is_settled());
        assert_eq!(sums(run), sums(&anew));
        for at in run.dag.graph.order() {
            assert_eq!(run.upstream(*at), anew.upstream(*at), "above {at:?}");
        }
        if run.asks_past().next().is_none() {
            assert_eq!(run.is_stuck(), anew.is_stuck());
        }
    }

    /// Plays until the run is over or nothing more can happen.
    pub fn play(&mut self) {
        if self.run.row.state == RunState::Queued {
            self.step(Event::Begin);
        }
        while !self.run.row.state.is_terminal() && self.act() {}
    }

    fn act(&mut self) -> bool {
        self.now = Ts(self.now.0 + 1_000);
        let (n_ready, n_live) = (self.ready.len() as u64, self.live.len() as u64);
        if n_ready + n_live == 0 {
            return self.next_timer();
        }
        let which = self.chance.below(n_ready + n_live);
        if which < n_ready {
            let at = self.ready.swap_remove(which as usize);
            self.start(at);
        } else {
            let (at, attempt) = self.live.swap_remove((which - n_ready) as usize);
            self.end(at, attempt);
        }
        true
    }

    pub fn start(&mut self, at: TaskIndex) {
        if self.run.wants_slot(at) {
            let (attempt, _) = self.run.launch(at, 1, self.now);
            self.live.push((at, attempt));
        }
    }

    fn end(&mut self, at: TaskIndex, attempt: Attempt) {
        let name = self.run.task(at).id.clone();
        let mut outcome = self.fates.get(&name).unwrap_or(&Fate::Ok).outcome();
        if let Some((_, reason)) = self.kills.iter().find(|(killed, _)| *killed == attempt) {
            outcome = Outcome::without_process(Verdict::Failed, *reason, "killed");
        }
        self.report(attempt, outcome);
    }

    pub fn report(&mut self, attempt: Attempt, outcome: Outcome) -> Vec<Effect> {
        self.step(Event::AttemptEnded {
            attempt,
            outcome: Box::new(outcome),
        })
    }

    fn next_timer(&mut self) -> bool {
        self.timers.sort_unstable();
        if self.timers.is_empty() {
            return false;
        }
        let (due, at) = self.timers.remove(0);
        self.now = self.now.max(due);
        self.step(Event::TimerDue(at));
        true
    }

    /// Each task's state by name.
    pub fn states(&self) -> BTreeMap<String, TaskState> {
        let named = |row: (usize, &tidemill_model::TaskRow)| {
            let at = TaskIndex(row.0 as u32);
            (self.run.task(at).id.clone(), row.1.state)
        };
        self.run.tasks.iter().enumerate().map(named).collect()
    }
}

/// The end of a run, which must be the same in whatever order its tasks end:
/// `success: a success, b skipped`.
pub fn outcome_of(dag: Dag, fates: &[(&str, Fate)]) -> String {
    let dag = Arc::new(dag);
    let told = |seed: u64| {
        let mut player = Player::new(Arc::clone(&dag), seed, fates);
        player.play();
        let states: Vec<String> = player
            .run
            .dag
            .tasks
            .iter()
            .map(|task| format!("{} {}", task.id, player.states()[&task.id]))
            .collect();
        format!("{}: {}", player.run.row.state, states.join(", "))
    };
    let first = told(0);
    for seed in 1..40 {
        assert_eq!(told(seed), first, "seed {seed}");
    }
    first
}
