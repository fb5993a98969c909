//! What the instances of a mapped task have kept, for whoever looks at them one after the other.

use serde_json::Value;
use tidemill_model::{MapIndex, TaskState};

/// An instance of a mapped task with one of the values that it has kept, or with none.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceValue {
    /// Its place in the mapped task.
    pub map_index: MapIndex,
    /// Its state.
    pub state: TaskState,
    /// Under which key it has kept what.
    pub value: Option<(String, Value)>,
}
