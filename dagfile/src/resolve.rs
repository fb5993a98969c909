//! What the walk has found, joined to a DAG.

use crate::diagnostic::Diagnostic;
use crate::flow;
use crate::lint;
use crate::names::Names;
use crate::parse::Table;
use crate::refs;
use crate::streams;
use crate::undated::Undated;
use crate::upstream;
use crate::walk::alert::{Alerts, DeadlineKeys};
use crate::walk::asset::OutletKeys;
use crate::walk::common::{Common, Texts};
use crate::walk::dag::DagKeys;
use crate::walk::event::EventKeys;
use crate::walk::flow::{BranchKeys, WhenKeys};
use crate::walk::group::GroupKeys;
use crate::walk::retry::RETRY_DELAY;
use crate::walk::stream::TriggerKeys;
use crate::walk::task::{OperatorKey, TaskKeys};
use crate::walk::{Text, Walk};
use tidemill_model::alert::{Alert, Deadline};
use tidemill_model::dag::{
    Asset, Branch, Case, DEFAULT_POOL, Dag, Gate, Group, InProcess, OnLost, Operator, Param,
    RetryPolicy, Shell, ShellBody, ShellOutput, Task, When,
};
use tidemill_model::graph::{Graph, TaskIndex};
use tidemill_model::scope::Scopes;
use tidemill_model::{Uses, WeightRule, weight};
use toml::de::DeValue;

/// Everything that a file says.
pub(crate) struct Parts {
    pub(crate) dag: DagKeys,
    pub(crate) defaults: Common,
    pub(crate) params: Vec<Param>,
    pub(crate) assets: Vec<Asset>,
    pub(crate) groups: Vec<GroupKeys>,
    pub(crate) triggers: Vec<TriggerKeys>,
    pub(crate) events: Vec<EventKeys>,
    pub(crate) tasks: Vec<TaskKeys>,
}

/// The DAG, unless there are errors; they are reported.
pub(crate) fn resolve(walk: &mut Walk, root: &Table, mut parts: Parts) -> Option<Dag> {
    let names = Names::new(walk, &parts.tasks, &parts.groups);
    let commons = merged(&names, &parts.defaults);
    check_waits(walk, &parts.tasks, &commons);
    let named = named_assets(walk, &commons);
    walk.undeclared(&mut parts.assets, &named);
    let found = checked(walk, root, &parts, &names, &commons)?;
    let Names {
        task_group,
        group_parent,
        ..
    } = names;
    let Parts {
        dag,
        params,
        assets,
        groups,
        triggers,
        events,
        tasks,
        ..
    } = parts;
    let at = |place: Option<u32>| place.map(|place| place as usize);
    let graph = found.graph;
    let places = task_group.into_iter().map(at);
    let places = places.zip(found.reads.into_iter().zip(found.uses));
    let built = tasks.into_iter().zip(commons).zip(places).map(
        |((keys, common), (group, (reads, uses)))| {
            let line = walk.lines.line(keys.span.start);
            let mut task = task(keys, common, group, reads, &dag.owner, line)?;
            task.uses = all_uses(uses, &task);
            Some(task)
        },
    );
    let mut tasks = built.collect::<Option<Vec<Task>>>()?;
    add_up_weights(&graph, &mut tasks);
    let groups = groups.into_iter().zip(group_parent.into_iter().map(at));
    let groups = groups.map(|(keys, parent)| group(keys, parent));
    Some(Dag {
        id: dag.id,
        display_name: dag.display_name,
        description: dag.description,
        doc_md: dag.doc_md,
        owner: dag.owner,
        tags: dag.tags,
        schedule: dag.schedule,
        asset_schedule: dag.asset_schedule,
        assets,
        schedule_text: dag.schedule_text,
        timezone: dag.timezone,
        start_date: dag.start_date,
        end_date: dag.end_date,
        catchup: dag.catchup,
        is_paused_upon_creation: dag.is_paused_upon_creation,
        allowed_run_types: dag.allowed_run_types,
        max_active_runs: dag.max_active_runs,
        max_active_tasks: dag.max_active_tasks,
        concurrency: dag.concurrency.map(|(concurrency, _)| concurrency),
        dagrun_timeout: dag.dagrun_timeout,
        fail_fast: dag.fail_fast,
        retry: dag.retry,
        rerun_with_latest_version: dag.rerun_with_latest_version,
        max_consecutive_failed_runs: dag.max_consecutive_failed_runs,
        triggers: triggers.into_iter().map(|keys| keys.trigger).collect(),
        event_triggers: events.into_iter().map(|keys| keys.trigger).collect(),
        alerts: alerts(dag.alerts),
        deadlines: deadlines(dag.deadlines),
        params,
        groups: groups.collect(),
        scopes: Scopes::new(&tasks, &graph),
        tasks,
        graph,
    })
}

fn group(keys: GroupKeys, parent: Option<usize>) -> Group {
    Group {
        id: keys.id,
        display_name: keys.display_name,
        doc_md: keys.doc_md,
        parent,
    }
}

/// The assets that tasks and schedules name.
fn named_assets(walk: &mut Walk, commons: &[Common]) -> Vec<Text> {
    let mut named = std::mem::take(&mut walk.named_assets);
    for common in commons {
        named.extend(common.inlets.iter().flatten().cloned());
        let outlets = common.outlets.iter().flatten();
        named.extend(outlets.map(|outlet| outlet.name.clone()));
    }
    named
}

/// What the checks give where nothing is wrong.
struct Found {
    graph: Graph,
    /// By task.
    reads: Vec<Reads>,
    /// By task.
    uses: Vec<Uses>,
}

/// Checks what must hold between the parts of a file; `None` when something is wrong in it.
fn checked(
    walk: &mut Walk,
    root: &Table,
    parts: &Parts,
    names: &Names,
    commons: &[Common],
) -> Option<Found> {
    let (dag, params) = (&parts.dag, &parts.params);
    check_settings(walk, &parts.tasks, commons);
    if let Some(DeValue::Table(table)) = root.get("dag").map(toml::Spanned::get_ref) {
        lint::empty_interval(walk, table, &dag.schedule, commons);
    }
    if let Some((_, Some(key))) = &dag.concurrency {
        refs::check_run_text(walk, key, params);
    }
    streams::check_templates(walk, &parts.triggers, params);
    streams::check_event_templates(walk, &parts.events, params);
    let (has_streams, has_events) = (!parts.triggers.is_empty(), !parts.events.is_empty());
    let undated = Undated::of(dag, has_streams, has_events);
    let has_triggers = has_streams || has_events;
    let (reads, uses) = refs::check_all(walk, names, commons, params, has_triggers, undated);
    let of_dag = dag.alerts.iter().flat_map(|(_, alerts)| alerts);
    let of_deadlines = dag.deadlines.iter().flat_map(|one| &one.alerts);
    refs::check_alerts(walk, of_dag.chain(of_deadlines), commons, params);
    let graph = names.graph(walk)?;
    upstream::check_upstream(walk, names, &graph, &reads);
    flow::check(walk, names, commons, &graph, dag.fail_fast);
    (!walk.has_errors()).then(|| Found {
        graph,
        reads: reads_of(&reads, parts.tasks.len()),
        uses,
    })
}

fn add_up_weights(graph: &Graph, tasks: &mut [Task]) {
    let own: Vec<i64> = tasks.iter().map(|task| task.priority_weight).collect();
    let rules: Vec<WeightRule> = tasks.iter().map(|task| task.weight_rule).collect();
    for (task, total) in tasks.iter_mut().zip(weight::totals(graph, &own, &rules)) {
        task.total_weight = total;
    }
}

/// The keys of each task over those of its groups, the nearest first, over the DAG's.
fn merged(names: &Names, defaults: &Common) -> Vec<Common> {
    let of_group: Vec<Common> = (0..names.groups.len() as u32)
        .map(|at| {
            let mut own = names.groups[at as usize].default_args.clone();
            for around in names.ancestors(crate::names::Node::Group(at)) {
                own = own.over(&names.groups[around as usize].default_args);
            }
            own.over(defaults)
        })
        .collect();
    let base = |at: usize| names.task_group[at].map_or(defaults, |group| &of_group[group as usize]);
    names
        .tasks
        .iter()
        .enumerate()
        .map(|(at, task)| task.common.clone().over(base(at)))
        .collect()
}

/// What must hold between the keys of operators that run inside the worker.
fn check_settings(walk: &mut Walk, tasks: &[TaskKeys], commons: &[Common]) {
    for (task, common) in tasks.iter().zip(commons) {
        if let OperatorKey::InProcess(operator) = task.operator {
            let settings = common
                .settings
                .iter()
                .find(|(name, _)| *name == operator.name);
            if let Some((_, settings)) = settings {
                settings.check(walk, operator, &task.span);
            }
        }
    }
}

fn check_waits(walk: &mut Walk, tasks: &[TaskKeys], commons: &[Common]) {
    for (task, common) in tasks.iter().zip(commons) {
        let delay = common.retry_delay.unwrap_or(RETRY_DELAY);
        if common.max_retry_delay.is_some_and(|max| max < delay)
            && task.common.max_retry_delay.is_some()
        {
            let message = format!(
                "`max_retry_delay` of task `{}` is shorter than its `retry_delay`",
                task.id
            );
            walk.report(Diagnostic::error("TM0103", task.span.clone(), message));
        }
    }
}

/// What the templates of a task use of tasks above it.
#[derive(Clone, Default)]
struct Reads {
    /// Whose values and states.
    values: Vec<TaskIndex>,
    /// Whose outputs as a file.
    files: Vec<TaskIndex>,
}

/// What each task uses of others, each of them once and in order.
fn reads_of(reads: &[refs::Read], n_tasks: usize) -> Vec<Reads> {
    let mut all = vec![Reads::default(); n_tasks];
    for read in reads {
        let own = &mut all[read.task as usize];
        let list = match read.is_file {
            true => &mut own.files,
            false => &mut own.values,
        };
        list.push(TaskIndex(read.upstream));
    }
    for list in all
        .iter_mut()
        .flat_map(|own| [&mut own.values, &mut own.files])
    {
        list.sort_unstable();
        list.dedup();
    }
    all
}

/// `None` for a task without an operator that runs, which has been reported.
fn task(
    keys: TaskKeys,
    common: Common,
    group: Option<usize>,
    reads: Reads,
    dag_owner: &str,
    line: u32,
) -> Option<Task> {
    let retries = common.retries.unwrap_or(0);
    let multiplier = common.retry_exponential_backoff.unwrap_or(0.0);
    let trigger_rule = flow::rule(&keys.role, &common);
    let past = flow::past(&common);
    let operator = operator(keys.operator, &common)?;
    let value = |text: Option<Text>| text.map(|text| text.value);
    let names = |texts: Vec<Text>| texts.into_iter().map(|text| text.value).collect();
    let outlets = common.outlets.unwrap_or_default();
    let values = |texts: Texts| {
        texts
            .into_iter()
            .map(|(name, text)| (name, text.value))
            .collect()
    };
    Some(Task {
        id: keys.id,
        display_name: common.display_name,
        doc_md: common.doc_md,
        owner: common.owner.unwrap_or_else(|| dag_owner.to_string()),
        group,
        operator,
        role: flow::role(&keys.role),
        mapping: keys.mapping.map(|map| map.mapping),
        trigger_rule,
        past,
        run_if: value(common.run_if),
        skip_if: value(common.skip_if),
        retry: RetryPolicy {
            retries,
            delay: common.retry_delay.unwrap_or(RETRY_DELAY),
            multiplier,
            max_delay: common.max_retry_delay,
            jitter: common.retry_jitter.unwrap_or(multiplier > 0.0),
            rules: common.retry_policy.unwrap_or_default(),
        },
        execution_timeout: common.execution_timeout,
        pool: common.pool.unwrap_or_else(|| DEFAULT_POOL.to_string()),
        pool_slots: common.pool_slots.unwrap_or(1),
        priority_weight: common.priority_weight.unwrap_or(1),
        weight_rule: common.weight_rule.unwrap_or(WeightRule::Downstream),
        total_weight: 0, // added up once the graph is known
        max_active_tis_per_dag: common.max_active_tis_per_dag,
        max_active_tis_per_dagrun: common.max_active_tis_per_dagrun,
        queue: common.queue.unwrap_or_else(|| "default".to_string()),
        cwd: common.cwd,
        env: values(common.env),
        inherit_env: common.inherit_env.unwrap_or(true),
        secrets: common.secrets,
        run_as_user: common.run_as_user,
        resources: common.resources,
        inlets: names(common.inlets.unwrap_or_default()),
        outlets: names(outlets.iter().map(|outlet| outlet.name.clone()).collect()),
        outputs: with_extras(values(common.outputs), outlets),
        do_xcom_push: common.do_xcom_push.unwrap_or(true),
        on_lost: common.on_lost.unwrap_or(if retries > 0 {
            OnLost::Retry
        } else {
            OnLost::Fail
        }),
        reads: reads.values,
        reads_files: reads.files,
        uses: Uses::default(), // gathered once the task is whole
        alerts: alerts(common.alerts),
        line,
    })
}

/// `None` where nothing runs.
fn operator(key: OperatorKey, common: &Common) -> Option<Operator> {
    Some(match key {
        OperatorKey::Empty => Operator::Empty,
        OperatorKey::LatestOnly => Operator::LatestOnly,
        OperatorKey::Shell => Operator::Shell(shell(common)?),
        OperatorKey::Branch(keys) => Operator::Branch(branch(keys)),
        OperatorKey::ShortCircuit(keys) => Operator::ShortCircuit(Gate {
            condition: keys.condition.value,
            ignores_rules: keys.ignores_rules,
        }),
        OperatorKey::InProcess(operator) => {
            let settings = common
                .settings
                .iter()
                .find(|(name, _)| *name == operator.name);
            Operator::InProcess(InProcess {
                kind: operator.name,
                only_looks: operator.only_looks,
                // What looks again and again keeps since when; `wait` also what was submitted.
                keeps: operator.only_looks
                    || settings.is_some_and(|(_, settings)| settings.has("wait")),
                settings: settings
                    .map(|(_, settings)| settings.clone().into_json())
                    .unwrap_or_default(),
            })
        }
        OperatorKey::Wait(keys) => keys.operator,
        OperatorKey::None => return None,
    })
}

fn alerts(keys: Alerts) -> Vec<Alert> {
    let all = keys.into_iter().flat_map(|(_, alerts)| alerts);
    all.map(|keys| keys.alert).collect()
}

fn deadlines(keys: Vec<DeadlineKeys>) -> Vec<Deadline> {
    let deadline = |keys: DeadlineKeys| Deadline {
        since: keys.since,
        interval: keys.interval,
        alerts: keys.alerts.into_iter().map(|keys| keys.alert).collect(),
    };
    keys.into_iter().map(deadline).collect()
}

/// What its templates use, its secrets, and the connections that its operator names.
fn all_uses(mut uses: Uses, task: &Task) -> Uses {
    for secret in &task.secrets {
        uses.add_secret(&secret.from);
    }
    for id in task.operator.connections() {
        uses.add_connection(id);
    }
    uses
}

/// Outputs, and what is said about the events of outlets: it is rendered with them.
fn with_extras(
    mut outputs: Vec<(String, String)>,
    outlets: Vec<OutletKeys>,
) -> Vec<(String, String)> {
    for outlet in outlets {
        let named = outlet.extra.into_iter();
        outputs
            .extend(named.map(|(key, text)| (format!("@{}.{key}", outlet.name.value), text.value)));
    }
    outputs
}

fn branch(keys: BranchKeys) -> Branch {
    let (cases, look_at) = match keys {
        BranchKeys::Names(text) => return Branch::Names(text.value),
        BranchKeys::Cases { cases, look_at } => (cases, look_at),
    };
    let case = |keys: crate::walk::flow::CaseKeys| Case {
        when: match keys.when {
            WhenKeys::If(text) => When::If(text.value),
            WhenKeys::Days(days) => When::Days(days),
            WhenKeys::Between(from, to) => When::Between(from, to),
            WhenKeys::Else => When::Else,
        },
        then: keys.then.into_iter().map(|text| text.value).collect(),
    };
    Branch::Cases {
        cases: cases.into_iter().map(case).collect(),
        look_at,
    }
}

fn shell(common: &Common) -> Option<Shell> {
    let keys = &common.shell;
    let body = match (&keys.command, &keys.script) {
        (Some(command), _) => ShellBody::Command(command.value.clone()),
        (None, Some(script)) => ShellBody::Script(script.value.clone()),
        (None, None) => return None,
    };
    Some(Shell {
        body,
        interpreter: keys.interpreter.clone(),
        args: keys
            .args
            .iter()
            .flatten()
            .map(|text| text.value.clone())
            .collect(),
        stdin: keys.stdin.as_ref().map(|text| text.value.clone()),
        skip_on_exit_code: keys.skip_on_exit_code.clone().unwrap_or_else(|| vec![99]),
        success_exit_codes: keys.success_exit_codes.clone().unwrap_or_else(|| vec![0]),
        output: keys.output.unwrap_or(ShellOutput::LastLine),
    })
}
