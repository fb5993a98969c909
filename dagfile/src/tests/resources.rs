//! Limits of tasks.

use super::good;
use std::time::Duration;
use tidemill_model::dag::Resources;

#[test]
fn resources_are_read_and_merge_key_by_key() {
    let dag = good(
        "
[default_args]
resources = { memory = '1GiB', cpu = 2, open_files = 64 }
[tasks.a]
resources = { memory = '512MiB', cpu_time = '10m', processes = 50, file_size = '2GiB' }
shell = 'true'
[tasks.b]
shell = 'true'
",
    );
    let dag = dag.dag.unwrap();
    let of_all = Resources {
        cpu: Some(2.0),
        memory: Some(1 << 30),
        open_files: Some(64),
        ..Resources::default()
    };
    assert_eq!(dag.tasks[1].resources, of_all);
    let own = Resources {
        memory: Some(512 << 20),
        processes: Some(50),
        file_size: Some(2 << 30),
        cpu_time: Some(Duration::from_secs(600)),
        ..of_all
    };
    assert_eq!(dag.tasks[0].resources, own);
}
