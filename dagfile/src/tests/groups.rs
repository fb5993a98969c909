//! A group's name stands wherever a task's does: in `depends_on` for its last tasks, where a branch
//! chooses for its first ones. Its tasks keep their own names (in Airflow they get the group's
//! before theirs, `prefix_group_id`).

use super::good;
use tidemill_model::Dag;

fn names(dag: &Dag, found: &[tidemill_model::TaskIndex]) -> Vec<String> {
    let mut names: Vec<String> = found.iter().map(|at| dag.task(*at).id.clone()).collect();
    names.sort();
    names
}

/// `outer` holds `first`, the group `inner` with `a` before `b` and `c` beside them, and `last`.
fn nested() -> Dag {
    let source = "
[groups.outer]
[groups.inner]
group = 'outer'
depends_on = 'first'
[tasks]
before = 'true'
first = { group = 'outer', depends_on = 'before', shell = 'true' }
a = { group = 'inner', shell = 'true' }
b = { group = 'inner', depends_on = 'a', shell = 'true' }
c = { group = 'inner', shell = 'true' }
last = { group = 'outer', depends_on = 'inner', shell = 'true' }
after = { depends_on = 'outer', shell = 'true' }
beside = { depends_on = ['inner', 'before'], shell = 'true' }
";
    good(source).dag.unwrap()
}

#[test]
fn who_waits_for_a_group_waits_for_its_last_tasks_and_its_own_waits_are_for_its_first() {
    let dag = nested();
    let waits = |name: &str| names(&dag, dag.graph.upstream(dag.index_of(name).unwrap()));
    assert_eq!(waits("after"), ["last"]);
    assert_eq!(waits("last"), ["b", "c"]);
    assert_eq!(waits("beside"), ["b", "before", "c"]);
    assert_eq!(waits("a"), ["first"]);
    assert_eq!(waits("c"), ["first"]);
    assert_eq!(waits("b"), ["a"]);
}

#[test]
fn a_branch_that_names_a_group_means_its_first_tasks() {
    let dag = nested();
    let means = |name: &str| names(&dag, &dag.named(name));
    assert_eq!(means("inner"), ["a", "c"]);
    assert_eq!(means("outer"), ["first"]);
    assert_eq!(means("b"), ["b"]);
    assert_eq!(means("nobody"), [""; 0]);
}
