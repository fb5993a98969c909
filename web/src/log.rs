//! Where the log of a try lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_log::LogSource;
use tidemill_model::{MapIndex, RunNo, TaskNo};

/// Where a try's log is: here, or wherever logs go, or brought here from its worker. Only a
/// complete one is looked for where logs go in the end.
pub(crate) async fn located(
    doors: &crate::Doors,
    (run, task, map_index, try_number): (RunNo, TaskNo, MapIndex, i32),
    is_complete: bool,
) -> Arc<dyn LogSource> {
    let here = path(&doors.logs, run, task, map_index, try_number);
    let is_here = tidemill_log::exists(&here);
    let Some(elsewhere) = doors.elsewhere.as_ref().filter(|_| !is_here) else {
        return Arc::new(here);
    };
    let name = path(Path::new(""), run, task, map_index, try_number);
    let found = elsewhere(name, is_complete).await;
    found.unwrap_or_else(|| Arc::new(here))
}

fn path(logs: &Path, run: RunNo, task: TaskNo, map_index: MapIndex, try_number: i32) -> PathBuf {
    logs.join(run.to_string())
        .join(format!("{task}.{map_index}.{try_number}"))
}
