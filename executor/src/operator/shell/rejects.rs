//! `$TIDEMILL_REJECTS`: the records that a task of a stream's run says are wrong.

use super::end::read_file;
use std::path::Path;
use tidemill_connection::Masker;
use tidemill_model::attempt::Reject;

/// The longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// The lines of the file, one JSON object each.
///
/// # Errors
/// What is wrong with the file or with a line.
pub(crate) fn read(path: &Path, masker: &Masker) -> Result<Vec<Reject>, String> {
    let Some(text) = read_file(path, "$TIDEMILL_REJECTS")? else {
        return Ok(Vec::new());
    };
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let rejects = lines.map(|(at, line)| {
        let reject: Reject = serde_json::from_str(line).map_err(|_| {
            format!(
                "$TIDEMILL_REJECTS, line {} is not {{\"partition\": 0, \"offset\": 17, \"reason\": \"…\"}}",
                at + 1
            )
        })?;
        let reason = masker.text(&reject.reason);
        Ok(Reject {
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            ..reject
        })
    });
    rejects.collect()
}
