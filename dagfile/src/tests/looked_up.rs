//! What templates ask of earlier runs, and of a task's own instances.

use super::{found, good};

#[test]
fn a_task_says_what_is_to_be_looked_up_for_it() {
    let dag = good(
        "
[tasks]
none = 'true'
last = { shell = 'true', env = { A = '{{ prev_start_date_success }}' } }
count = { shell = 'true', expand = { x = [1] }, env = { A = '{{ expanded_ti_count }}' } }
",
    );
    let dag = dag.dag.unwrap();
    let asked = |id: &str| {
        let task = dag.task(dag.index_of(id).unwrap());
        (task.uses.last_success, task.uses.n_instances)
    };
    assert_eq!(asked("none"), (false, false));
    assert_eq!(asked("last"), (true, false));
    assert_eq!(asked("count"), (false, true));
}

#[test]
fn nothing_is_looked_up_where_no_task_is() {
    let key = "[dag.concurrency]\nkey = '{{ prev_end_date_success }}'\n[tasks]\na = 'true'\n";
    assert_eq!(found(key), ["TM0210 2:11"]);
}
