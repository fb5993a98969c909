//! Places at which tests end this process, as a power cut would. A release build has none.

/// Ends the process at once when `TIDEMILL_FAULT` names this place. `NAME:3` is the third time.
#[cfg(debug_assertions)]
pub fn here(place: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};
    static WISH: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let wish = WISH.get_or_init(|| {
        let wish = std::env::var("TIDEMILL_FAULT").ok()?;
        let (name, count) = wish.rsplit_once(':').unwrap_or((wish.as_str(), "1"));
        Some((name.to_string(), AtomicI64::new(count.parse().unwrap_or(1))))
    });
    if let Some((name, left)) = wish
        && name == place
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        eprintln!("ended at `{place}`, as TIDEMILL_FAULT wishes");
        std::process::abort();
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub fn here(_place: &str) {}
