//! Mapped tasks that go in step with another one.

use super::good;
use crate::load;
use tidemill_model::TaskIndex;
use tidemill_model::dag::OnEmpty;

#[test]
fn a_task_waits_for_the_one_that_it_goes_in_step_with() {
    let dag = good(
        "
[tasks.b]
expand = { x = [1, 2] }
shell = 'echo $TIDEMILL_MAP_X'
[tasks.c]
expand = { r = { each = 'b' } }
on_empty = 'fail'
shell = 'echo $TIDEMILL_MAP_R'
[tasks.d]
depends_on = 'c'
env = { ALL = '{{ tasks.c.outputs_file }}', N = '{{ tasks.b.states.success }}' }
shell = 'wc -l $ALL'
",
    )
    .dag
    .unwrap();
    let mapping = dag.tasks[1].mapping.as_ref().unwrap();
    assert_eq!(mapping.each(), Some(("r", "b")));
    assert_eq!(mapping.on_empty, OnEmpty::Fail);
    assert_eq!(dag.graph.upstream(TaskIndex(1)), [TaskIndex(0)]);
    assert!(dag.tasks[1].reads.is_empty());
    assert_eq!(dag.tasks[2].reads, [TaskIndex(0)]);
    assert_eq!(dag.tasks[2].reads_files, [TaskIndex(1)]);
}

/// The one thing that is wrong with a file of two tasks: what is said, and what to do.
fn wrong(text: &str) -> (String, Option<String>) {
    let loaded = load(text.as_bytes(), "sample");
    let [one] = loaded.diagnostics.as_slice() else {
        panic!("{:?}", loaded.diagnostics);
    };
    (one.message.clone(), one.help.clone())
}

#[test]
fn a_file_of_outputs_is_only_of_a_mapped_task_and_what_to_take_instead_is_said() {
    let (message, help) = wrong(
        "[tasks.a]\nshell = 'true'\n[tasks.b]\ndepends_on = 'a'\nenv = { A = '{{ tasks.a.outputs_file }}' }\nshell = 'true'\n",
    );
    assert_eq!(message, "task `a` is not mapped: it has no `outputs_file`");
    assert!(help.unwrap().contains("`tasks.a.output`"));
}

#[test]
fn a_slip_in_each_is_told_of_each() {
    let (message, _) = wrong("[tasks.t]\nshell = 'true'\nexpand = { r = { eahc = 'b' } }\n");
    assert!(message.contains("{ each = \"TASK\" }"), "{message}");
}
