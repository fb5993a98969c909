//! What an attempt sees of single instances of a mapped task above it: the output of the one that
//! it goes in step with, and the outputs of all as a file. They are read a few at a time, however
//! many there are, and the file is written where the attempt runs.

use crate::daemon::facts;
use serde_json::{Map, Value};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use tidemill_model::{Dag, MapIndex, Task, TaskIndex, TaskNo, TaskState};
use tidemill_store::InstanceValue;
use tidemill_template::Facts;

/// So many instances are held at once; one value has at most a mebibyte.
const AT_ONCE: i32 = 32;

/// Does a task use anything of single instances?
pub fn are_used(task: &Task) -> bool {
    let mapping = task.mapping.as_ref();
    !task.reads_files.is_empty() || mapping.is_some_and(|mapping| mapping.each().is_some())
}

/// The map index of one instance, as a range: so that no more is read than what that one has kept.
pub fn only(index: MapIndex) -> Range<i32> {
    index.0..index.0 + 1
}

/// Adds what the templates of an attempt use of single instances. `task_no` tells the stored number
/// of a task, `read` what instances of it have kept.
///
/// # Errors
/// One line: what cannot be read or written.
pub fn add(
    facts: &mut Facts,
    dag: &Dag,
    at: TaskIndex,
    task_no: impl Fn(TaskIndex) -> TaskNo,
    mut read: impl FnMut(TaskNo, Range<i32>) -> Result<Vec<InstanceValue>, String>,
) -> Result<(), String> {
    let task = dag.task(at);
    let each = task.mapping.as_ref().and_then(|mapping| mapping.each());
    if let Some((name, above)) = each.filter(|_| facts.map_index >= 0) {
        let above = dag.index_of(above).ok_or("the task above is gone")?;
        let found = read(task_no(above), only(MapIndex(facts.map_index)))?;
        let mut values = found.into_iter().filter_map(|one| one.value);
        let output = values.find(|(key, _)| key == "return_value");
        let output = output.map_or(Value::Null, |(_, value)| value);
        facts.map.insert(name.to_string(), output);
    }
    for &above in &task.reads_files {
        let id = &dag.task(above).id;
        let file = Path::new(&facts.run_dir).join(format!("{id}.outputs.ndjson"));
        let file = std::path::absolute(&file).unwrap_or(file);
        let laid_out = lay_out(&file, |indexes| read(task_no(above), indexes));
        laid_out.map_err(|why| format!("the outputs of {id} cannot be laid out: {why}"))?;
        let file = file.to_string_lossy().into_owned();
        let seen = facts.tasks.entry(id.clone()).or_default();
        seen.outputs_file = Some(file);
    }
    Ok(())
}

/// Writes a line for each instance, in the order of their indexes: an object of what it has kept
/// where it has succeeded, else null.
fn lay_out(
    file: &Path,
    mut read: impl FnMut(Range<i32>) -> Result<Vec<InstanceValue>, String>,
) -> Result<(), String> {
    facts::lay_out(file, |draft| {
        let mut out = BufWriter::new(draft);
        for first in (0..).step_by(AT_ONCE as usize) {
            let found = read(first..first + AT_ONCE).map_err(io::Error::other)?;
            if found.is_empty() {
                break;
            }
            for one in found.chunk_by(|one, next| one.map_index == next.map_index) {
                write_line(&mut out, one)?;
            }
        }
        out.flush()
    })
    .map_err(|err| err.to_string())
}

/// The line of one instance; none for one that is no longer there.
fn write_line(out: &mut impl Write, values: &[InstanceValue]) -> io::Result<()> {
    let state = values.first().map_or(TaskState::Removed, |one| one.state);
    let kept = values.iter().filter_map(|one| one.value.clone());
    let line = match state {
        TaskState::Removed => return Ok(()),
        TaskState::Success => Value::Object(kept.collect::<Map<String, Value>>()),
        _ => Value::Null,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]
mod tests {
    use super::*;
    use serde_json::json;

    /// Instance 0 to `n`; every third has failed, every second has kept its index.
    fn instances(indexes: Range<i32>, n: i32) -> Vec<InstanceValue> {
        let one = |index: i32| InstanceValue {
            map_index: MapIndex(index),
            state: match index % 3 {
                0 => TaskState::Failed,
                _ => TaskState::Success,
            },
            value: (index % 2 == 0).then(|| ("return_value".to_string(), json!(index))),
        };
        (indexes.start..indexes.end.min(n)).map(one).collect()
    }

    fn expected(index: i32) -> Value {
        match (index % 3, index % 2) {
            (0, _) => Value::Null,
            (_, 0) => json!({ "return_value": index }),
            _ => json!({}),
        }
    }

    #[test]
    fn a_line_for_each_instance_is_written_in_order_with_few_of_them_held_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run").join("m.outputs.ndjson");
        for n in [0, 1, 31, 32, 33, 1_000] {
            let mut most = 0;
            lay_out(&file, |indexes| {
                let found = instances(indexes, n);
                most = most.max(found.len());
                Ok(found)
            })
            .unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let lines: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(lines, (0..n).map(expected).collect::<Vec<_>>());
            assert!(most <= AT_ONCE as usize);
        }
    }

    #[test]
    fn a_file_that_cannot_be_completed_leaves_the_one_before_and_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.outputs.ndjson");
        lay_out(&file, |indexes| Ok(instances(indexes, 2))).unwrap();
        let before = std::fs::read_to_string(&file).unwrap();
        let broken = |indexes: Range<i32>| match indexes.start {
            0 => Ok(instances(indexes, 100)),
            _ => Err("away".to_string()),
        };
        assert_eq!(lay_out(&file, broken), Err("away".to_string()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn several_values_of_one_instance_are_one_line() {
        let value = |key: &str, value: Value| InstanceValue {
            map_index: MapIndex(0),
            state: TaskState::Success,
            value: Some((key.to_string(), value)),
        };
        let mut line = Vec::new();
        let values = [value("return_value", json!("a")), value("size", json!(3))];
        write_line(&mut line, &values).unwrap();
        assert_eq!(line, b"{\"return_value\":\"a\",\"size\":3}\n");
    }
}
