//! Instances of tasks, as people name them: `load`, or `load[3]` in a mapped task.

use super::client::{RunRef, escape};
use serde_json::{Value, json};

/// A task, or one instance of a mapped one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance<'a> {
    /// Its task.
    pub task: &'a str,
    /// Its index in a mapped task.
    pub map_index: Option<u32>,
}

impl<'a> Instance<'a> {
    /// Reads a name. No task's own name has a bracket, so the rest is left to the server.
    pub fn read(name: &'a str) -> Instance<'a> {
        let cut = name.strip_suffix(']').and_then(|name| name.split_once('['));
        let indexed = cut.and_then(|(task, index)| Some((task, index.parse().ok()?)));
        match indexed {
            Some((task, index)) => Instance {
                task,
                map_index: Some(index),
            },
            None => Instance {
                task: name,
                map_index: None,
            },
        }
    }

    /// The one that an answer of the API is about.
    pub fn of(body: &'a Value) -> Instance<'a> {
        Instance {
            task: super::print::text(body, "task_id"),
            map_index: body["map_index"].as_u64().and_then(|at| at.try_into().ok()),
        }
    }

    /// Its address in a run, with what follows its name there.
    pub fn path(&self, run: &RunRef, rest: &str) -> String {
        let task = escape(self.task);
        let path = format!("{}/taskInstances/{task}{rest}", run.path());
        match self.map_index {
            None => path,
            Some(index) => {
                let sign = if path.contains('?') { '&' } else { '?' };
                format!("{path}{sign}map_index={index}")
            }
        }
    }

    /// As `clearTaskInstances` wants it.
    pub fn wish(&self) -> Value {
        match self.map_index {
            None => json!(self.task),
            Some(index) => json!([self.task, index]),
        }
    }
}

impl std::fmt::Display for Instance<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.map_index {
            None => f.write_str(self.task),
            Some(index) => write!(f, "{}[{index}]", self.task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_an_index_is_one_instance_and_any_other_a_task() {
        let one = |task, map_index| Instance { task, map_index };
        for (name, wanted) in [
            ("load", one("load", None)),
            ("load[0]", one("load", Some(0))),
            ("load[12]", one("load", Some(12))),
            ("load[x]", one("load[x]", None)),
            ("load[-1]", one("load[-1]", None)),
            ("load]", one("load]", None)),
        ] {
            let read = Instance::read(name);
            assert_eq!(read, wanted);
            assert_eq!(read.to_string(), name);
        }
    }

    #[test]
    fn an_instance_has_its_index_in_addresses_and_in_wishes() {
        let run = RunRef {
            dag_id: "etl".to_string(),
            run_id: "one".to_string(),
        };
        let base = "/api/v2/dags/etl/dagRuns/one/taskInstances/load";
        let (whole, one) = (Instance::read("load"), Instance::read("load[3]"));
        assert_eq!(whole.path(&run, ""), base);
        assert_eq!(one.path(&run, ""), format!("{base}?map_index=3"));
        let log = one.path(&run, "/logs/1?token=7");
        assert_eq!(log, format!("{base}/logs/1?token=7&map_index=3"));
        assert_eq!(
            (whole.wish(), one.wish()),
            (json!("load"), json!(["load", 3]))
        );
        let body = json!({ "task_id": "load", "map_index": 3 });
        assert_eq!(Instance::of(&body), one);
        let body = json!({ "task_id": "load", "map_index": -1 });
        assert_eq!(Instance::of(&body), whole);
    }
}
