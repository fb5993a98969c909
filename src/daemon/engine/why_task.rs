//! Why a task does not run, as far as its own run goes: what stands above it, and its instances.

use super::why::Said;
use tidemill_model::{TaskIndex, TaskState};
use tidemill_scheduler::{CheckKind, Run};
use tidemill_store::Holder;

/// What stands above a task, by its trigger rule, and which of it is in the way.
pub(super) fn upstream(kind: &CheckKind, run: Option<&Run>) -> Said {
    let CheckKind::Upstream {
        rule,
        counts,
        open,
        bad,
        skipped,
    } = kind
    else {
        return ("upstream", String::new(), Vec::new());
    };
    let near = &counts.near;
    let mut detail = match near.total {
        0 => "no tasks stand before it".to_string(),
        total => format!(
            "{rule} of {total} upstream tasks: {} succeeded, {} failed, {} blocked, {} skipped, {} not over",
            near.success,
            near.failed,
            near.upstream_failed,
            near.skipped,
            open.len()
        ),
    };
    let (setups, ready) = (counts.far_setups.total, counts.far_setups.success);
    for (n, what) in [
        (
            counts.not_followed_by,
            "branches or gates above do not follow it".to_string(),
        ),
        (
            counts.open_deciders,
            "branches or gates above are not decided".to_string(),
        ),
        (
            setups,
            format!("setup tasks above, of which {ready} succeeded"),
        ),
        (
            counts.open_in_scope,
            "tasks between its setup tasks and it are not over".to_string(),
        ),
    ] {
        if n > 0 {
            detail.push_str(&format!("; {n} {what}"));
        }
    }
    let in_the_way: Vec<TaskIndex> = open.iter().chain(bad).chain(skipped).copied().collect();
    (
        "upstream",
        detail,
        run.map_or(Vec::new(), |run| named(run, &in_the_way)),
    )
}

/// How the instances of a mapped task stand, and which of them are open or have failed.
pub(super) fn instances(run: &Run, task: TaskIndex) -> Said {
    let places = run.places_of(task);
    let state = |at: &TaskIndex| run.tasks[at.at()].state;
    let states = TaskState::ALL.iter().filter_map(|known| {
        let n = places.iter().filter(|at| state(at) == *known).count();
        (n > 0).then(|| format!("{n} {known}"))
    });
    let states: Vec<String> = states.collect();
    let in_the_way = |at: &&TaskIndex| !state(at).is_terminal() || state(at).is_failure();
    let in_the_way: Vec<TaskIndex> = places.iter().filter(in_the_way).copied().collect();
    let detail = format!(
        "it is mapped, and has {} instances: {}; `{}[0]` is the first",
        places.len(),
        states.join(", "),
        run.task(task).id
    );
    ("instances", detail, named(run, &in_the_way))
}

pub(super) fn named(run: &Run, tasks: &[TaskIndex]) -> Vec<Holder> {
    let name = |at: &TaskIndex| Holder {
        dag_id: run.dag.id.clone(),
        run_id: run.row.run_id.clone(),
        task_id: Some(run.task(*at).id.clone()),
        map_index: run.tasks[at.at()].map_index,
        slots: None,
    };
    tasks.iter().map(name).collect()
}
