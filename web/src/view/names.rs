//! Names of a DAG's tasks by number, and numbers by name.

use std::collections::HashMap;
use tidemill_model::TaskNo;

/// Both directions.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_no: HashMap<TaskNo, String>,
    by_id: HashMap<String, TaskNo>,
}

impl Names {
    pub(crate) fn new(pairs: Vec<(TaskNo, String)>) -> Names {
        let by_id = pairs.iter().map(|(no, id)| (id.clone(), *no)).collect();
        Names {
            by_no: pairs.into_iter().collect(),
            by_id,
        }
    }

    /// The name of a number; a sign for one without a name.
    pub(crate) fn id(&self, no: TaskNo) -> &str {
        self.by_no.get(&no).map_or("?", String::as_str)
    }

    pub(crate) fn no(&self, id: &str) -> Option<TaskNo> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(String::as_str)
    }

    /// All of them by number.
    pub(crate) fn in_order(&self) -> Vec<(TaskNo, &str)> {
        let mut all: Vec<_> = self
            .by_no
            .iter()
            .map(|(no, id)| (*no, id.as_str()))
            .collect();
        all.sort_unstable();
        all
    }
}
