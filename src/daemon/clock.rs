//! The one place that reads the wall clock.

use tidemill_model::Ts;

/// The present instant.
pub fn now() -> Ts {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Ts(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
