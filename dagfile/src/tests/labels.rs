//! What people call the edges between tasks.

use super::good;
use tidemill_model::Dag;

fn label<'d>(dag: &'d Dag, upstream: &str, task: &str) -> Option<&'d str> {
    let at = |id: &str| dag.index_of(id).unwrap();
    dag.graph.label(at(upstream), at(task))
}

#[test]
fn the_label_of_a_dependency_stays_with_its_edges() {
    let dag = good(
        "
[groups.early]
[groups.late]
depends_on = { task = 'early', label = 'all is there' }
[tasks]
a = { shell = 'true', group = 'early' }
b = { shell = 'true', group = 'early' }
c = { shell = 'true', group = 'late' }
d = { shell = 'true', depends_on = ['a', { task = 'c', label = 'when clean' }] }
e = { shell = 'true', depends_on = { task = 'a', label = ' ' } }
",
    );
    let dag = dag.dag.unwrap();
    assert_eq!(label(&dag, "a", "c"), Some("all is there"));
    assert_eq!(label(&dag, "b", "c"), Some("all is there"));
    assert_eq!(label(&dag, "c", "d"), Some("when clean"));
    assert_eq!(label(&dag, "a", "d"), None);
    assert_eq!(label(&dag, "a", "e"), None);
    assert_eq!(label(&dag, "d", "c"), None);
}

#[test]
fn what_a_task_calls_an_edge_counts_before_what_its_group_calls_it() {
    let dag = good(
        "
[groups.late]
depends_on = { task = 'a', label = 'of the group' }
[tasks]
a = { shell = 'true' }
b = { shell = 'true', group = 'late', depends_on = { task = 'a', label = 'its own' } }
c = { shell = 'true', group = 'late' }
",
    );
    let dag = dag.dag.unwrap();
    assert_eq!(label(&dag, "a", "b"), Some("its own"));
    assert_eq!(label(&dag, "a", "c"), Some("of the group"));
}
