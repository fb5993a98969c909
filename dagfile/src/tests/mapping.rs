//! Mapped tasks that go in step with another one.

use super::good;
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
