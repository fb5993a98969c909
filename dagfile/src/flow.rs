//! What holds between tasks that prepare, clean up and choose: checked once the graph is known.

use crate::diagnostic::Diagnostic;
use crate::names::{Names, Node};
use crate::suggest::nearest;
use crate::walk::common::Common;
use crate::walk::flow::{BranchKeys, CaseKeys};
use crate::walk::task::OperatorKey;
use crate::walk::{Text, Walk};
use tidemill_model::TriggerRule;
use tidemill_model::dag::{PastRule, Role};
use tidemill_model::graph::{Graph, TaskIndex};

/// A task's role by its keys.
pub(crate) fn role(keys: &crate::walk::task::RoleKeys) -> Role {
    match (keys.is_setup, keys.is_teardown) {
        (true, _) => Role::Setup,
        (false, true) => Role::Teardown {
            fails_run: keys.fails_run,
        },
        (false, false) => Role::Work,
    }
}

/// A task's rule: a teardown task has its own, whatever the defaults say.
pub(crate) fn rule(keys: &crate::walk::task::RoleKeys, common: &Common) -> TriggerRule {
    if keys.is_teardown {
        return TriggerRule::AllDoneSetupSuccess;
    }
    common.trigger_rule.unwrap_or(TriggerRule::AllSuccess)
}

/// What a task waits for in the run before.
pub(crate) fn past(common: &Common) -> Option<PastRule> {
    let with_downstream = common.wait_for_downstream.unwrap_or(false);
    let waits = with_downstream || common.depends_on_past.unwrap_or(false);
    waits.then(|| PastRule {
        with_downstream,
        passes_when_new: common.ignore_first_depends_on_past.unwrap_or(true),
    })
}

/// Reports what does not fit together.
pub(crate) fn check(
    walk: &mut Walk,
    names: &Names,
    commons: &[Common],
    graph: &Graph,
    fail_fast: bool,
) {
    for (at, task) in names.tasks.iter().enumerate() {
        let (index, common) = (TaskIndex(at as u32), &commons[at]);
        let rule = rule(&task.role, common);
        let span = task.role.rule_span.clone().unwrap_or(task.span.clone());
        if task.role.is_teardown
            && task.role.rule_span.is_some()
            && common.trigger_rule != Some(TriggerRule::AllDoneSetupSuccess)
        {
            let message = "the rule of a teardown task cannot be chosen";
            walk.report(
                Diagnostic::error("TM0145", span.clone(), message)
                    .label("always all_done_setup_success")
                    .help("take `trigger_rule` out"),
            );
        }
        let is_fast = [TriggerRule::AllSuccess, TriggerRule::AllDoneSetupSuccess];
        if fail_fast && !is_fast.contains(&rule) {
            let message = format!("`{rule}` does not go with `fail_fast` of the DAG");
            walk.report(
                Diagnostic::error("TM0146", span.clone(), message)
                    .help("the run ends at the first failed task: only all_success makes sense"),
            );
        }
        check_setups(walk, names, task);
        check_mapping(walk, task);
        check_each(walk, names, task);
        if task.role.is_setup {
            check_after_setup(walk, names, commons, graph, index);
        }
        if let OperatorKey::Branch(BranchKeys::Cases { cases, .. }) = &task.operator {
            check_cases(walk, names, graph, index, cases);
        }
    }
}

fn check_setups(walk: &mut Walk, names: &Names, task: &crate::walk::task::TaskKeys) {
    for setup in &task.role.setups {
        let is_setup = match names.node(&setup.name) {
            Some(Node::Task(at)) => names.tasks[at as usize].role.is_setup,
            Some(Node::Group(_)) => false,
            None => true, // reported as an unknown upstream task
        };
        if !is_setup {
            let message = format!("`{}` is not a setup task", setup.name);
            walk.report(
                Diagnostic::error("TM0145", setup.span.clone(), message)
                    .help(format!("add `setup = true` to [tasks.{}]", setup.name)),
            );
        }
    }
}

fn check_mapping(walk: &mut Walk, task: &crate::walk::task::TaskKeys) {
    let what = match &task.operator {
        OperatorKey::Branch(_) => "a branch",
        OperatorKey::ShortCircuit(_) => "a gate",
        OperatorKey::LatestOnly => "latest_only",
        _ if task.role.is_setup => "a setup task",
        _ if task.role.is_teardown => "a teardown task",
        _ => return,
    };
    if let Some(map) = &task.mapping {
        let message = format!("{what} cannot be mapped");
        walk.report(
            Diagnostic::error("TM0148", map.span.clone(), message)
                .help("map a task beside it, and let it look at that task's outputs"),
        );
    }
}

/// What a task goes in step with must have instances.
fn check_each(walk: &mut Walk, names: &Names, task: &crate::walk::task::TaskKeys) {
    let Some(each) = task.each() else {
        return;
    };
    let what = match names.node(&each.name) {
        Some(Node::Task(at)) if names.tasks[at as usize].mapping.is_some() => return,
        Some(Node::Task(_)) => "is not a mapped task",
        Some(Node::Group(_)) => "is a group",
        None => return, // reported as an unknown upstream task
    };
    let message = format!("`each` names `{}`, which {what}", each.name);
    walk.report(
        Diagnostic::error("TM0148", each.span.clone(), message)
            .label("has no instances to go in step with")
            .help("map over its output: a template that gives a list"),
    );
}

/// Airflow's `validate_setup_teardown`.
fn check_after_setup(
    walk: &mut Walk,
    names: &Names,
    commons: &[Common],
    graph: &Graph,
    setup: TaskIndex,
) {
    for down in graph.downstream(setup) {
        let after = &names.tasks[down.at()];
        let rule = rule(&after.role, &commons[down.at()]);
        if after.role.is_teardown || rule == TriggerRule::AllSuccess {
            continue;
        }
        let own = &names.tasks[setup.at()].id;
        let message = format!(
            "`{}` comes right after the setup task `{own}` and could run without it",
            after.id
        );
        let span = after.role.rule_span.clone().unwrap_or(after.span.clone());
        walk.report(
            Diagnostic::error("TM0145", span, message)
                .label(format!("trigger_rule {rule}"))
                .help("leave the rule at all_success here, or put an `empty` task between"),
        );
    }
}

fn check_cases(
    walk: &mut Walk,
    names: &Names,
    graph: &Graph,
    branch: TaskIndex,
    cases: &[CaseKeys],
) {
    let own = &names.tasks[branch.at()].id;
    let below = graph.reach(&[branch], true);
    let is_below = |task: u32| below.binary_search(&TaskIndex(task)).is_ok();
    for then in cases.iter().flat_map(|case| &case.then) {
        match names.node(&then.value) {
            None => unknown_target(walk, names, then),
            Some(Node::Task(at)) if is_below(at) && at != branch.0 => {}
            Some(Node::Group(at)) if names.members(at).iter().any(|task| is_below(*task)) => {}
            Some(_) => {
                let message = format!("`{}` does not wait for the branch `{own}`", then.value);
                walk.report(
                    Diagnostic::error("TM0147", then.span.clone(), message)
                        .label("not below it")
                        .help(format!("add \"{own}\" to its `depends_on`")),
                );
            }
        }
    }
}

fn unknown_target(walk: &mut Walk, names: &Names, then: &Text) {
    let message = format!("`{}` is not a task or a group of this DAG", then.value);
    let known = names
        .tasks
        .iter()
        .map(|task| task.id.as_str())
        .chain(names.groups.iter().map(|group| group.id.as_str()));
    let one = Diagnostic::error("TM0147", then.span.clone(), message);
    walk.report(match nearest(&then.value, known) {
        Some(near) => one
            .label(format!("did you mean `{near}`?"))
            .patch(then.span.clone(), format!("\"{near}\"")),
        None => one.label("unknown"),
    });
}
