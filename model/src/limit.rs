//! The words of limits: pools, and the key that runs share.

/// A limit on runs with the same key, beside `max_active_runs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// What is compared, as a template; the empty text is one key for the whole DAG.
    pub key: String,
    /// How many runs with one key may be running at once.
    pub limit: u32,
    /// What becomes of one more.
    pub policy: ConcurrencyPolicy,
}

crate::state::named!(
    /// What becomes of a run whose key has no room.
    ConcurrencyPolicy, "policy" {
        /// It waits.
        Queue = "queue",
        /// It is not made.
        Skip = "skip",
        /// It takes the place of the oldest: those are ended.
        Replace = "replace",
    }
);

/// The name of the pool that every installation has.
pub const DEFAULT_POOL: &str = "default_pool";

/// Can this be the name of a pool?
pub fn is_pool_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name.len() <= 250 && name.bytes().all(is_good)
}

/// The slots of [`DEFAULT_POOL`] unless somebody says otherwise, as in Airflow.
pub const DEFAULT_POOL_SLOTS: i64 = 128;
