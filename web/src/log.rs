//! Where the log of a try lies.

use std::path::{Path, PathBuf};
use tidemill_model::{MapIndex, RunNo, TaskNo};

/// The name of a try's log, brought here from its worker if it has to be.
pub(crate) async fn located(
    doors: &crate::Doors,
    run: RunNo,
    task: TaskNo,
    map_index: MapIndex,
    try_number: i32,
) -> PathBuf {
    let here = path(&doors.logs, run, task, map_index, try_number);
    let is_here = tidemill_log::exists(&here);
    let Some(elsewhere) = doors.elsewhere.as_ref().filter(|_| !is_here) else {
        return here;
    };
    let name = path(Path::new(""), run, task, map_index, try_number);
    elsewhere(name).await.unwrap_or(here)
}

fn path(logs: &Path, run: RunNo, task: TaskNo, map_index: MapIndex, try_number: i32) -> PathBuf {
    logs.join(run.to_string())
        .join(format!("{task}.{map_index}.{try_number}"))
}
