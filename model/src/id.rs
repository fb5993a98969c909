//! Identities. Rows are keyed by integers; names are what people type.

use crate::state::RunType;
use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// The number of a DAG in its store.
    DagNo(i64));
number!(/// The number of a run in its store; assigned by the scheduler, never reused.
    RunNo(i64));
number!(/// The number of a task name within its DAG; stable over versions.
    TaskNo(i32));
number!(/// The number of a stored version of a DAG.
    VersionNo(i64));
number!(/// The number of a backfill in its store.
    BackfillNo(i64));
number!(/// The number of a trigger in its store.
    TriggerNo(i64));
number!(/// The number of an asset in its store.
    AssetNo(i64));
number!(/// The number of an event of an asset; rises with each.
    EventNo(i64));
number!(/// The fencing number of an attempt: raised each time a task instance is queued.
    Epoch(i64));
number!(/// The place of an instance among the instances of a mapped task; -1 when not mapped.
    MapIndex(i32));

impl MapIndex {
    /// An instance of a task that is not mapped.
    pub const NONE: MapIndex = MapIndex(-1);
}

/// The alphabet of short ids: no vowels, so no words; no 0, 1 or l.
const SHORT_ALPHABET: &[u8; 32] = b"23456789bcdfghjkmnpqrstvwxzBCDFG";
const SHORT_BITS: u32 = 40;
const SHORT_MULTIPLIER: u64 = 0x9E_3779_B97F; // odd, so it permutes 40-bit numbers
const SHORT_MASK: u64 = (1 << SHORT_BITS) - 1;

impl RunNo {
    /// Eight characters that name this run in the whole installation.
    ///
    /// A fixed permutation of the run number, so that neighbours do not look alike.
    pub fn short_id(self) -> String {
        let mixed = scramble(self.0 as u64 & SHORT_MASK);
        (0..8)
            .map(|place| SHORT_ALPHABET[(mixed >> (35 - 5 * place)) as usize & 31] as char)
            .collect()
    }

    /// The run that a short id names, if it is one.
    pub fn from_short_id(text: &str) -> Option<RunNo> {
        if text.len() != 8 {
            return None;
        }
        let mut mixed = 0u64;
        for byte in text.bytes() {
            let digit = SHORT_ALPHABET.iter().position(|&c| c == byte)?;
            mixed = mixed << 5 | digit as u64;
        }
        Some(RunNo(unscramble(mixed) as i64))
    }
}

/// The longest name of a run, as in Airflow.
const RUN_ID_MAX: usize = 250;

/// Can a person or a task give a run this name? Airflow's rules (`serialization/definitions/dag.py:
/// create_dagrun`, `[scheduler] allowed_run_id_pattern`). A name of another type's is refused since
/// the tick, or whatever would make the run of that name, could make none.
///
/// # Errors
/// One sentence that says why not.
pub fn check_run_id(text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.~:+-".contains(&byte);
    if text.is_empty() || text.len() > RUN_ID_MAX || !text.bytes().all(fits) {
        return Err(format!(
            "`{text}` cannot be the name of a run: A-Z a-z 0-9 _ . ~ : + and - only, up to {RUN_ID_MAX} of them"
        ));
    }
    if text.contains("..") {
        return Err(format!("`{text}` cannot be the name of a run: no `..`"));
    }
    let others = RunType::ALL
        .iter()
        .filter(|other| **other != RunType::Manual);
    let is_of = |other: &&RunType| {
        let rest = text.strip_prefix(other.name());
        rest.is_some_and(|rest| rest.starts_with("__"))
    };
    match others.copied().find(|other| is_of(&other)) {
        Some(other) => Err(format!(
            "`{text}` cannot be the name of this run: names that begin with `{other}__` are kept for {other} runs"
        )),
        None => Ok(()),
    }
}

fn scramble(number: u64) -> u64 {
    let once = number.wrapping_mul(SHORT_MULTIPLIER) & SHORT_MASK;
    let folded = once ^ (once >> 20);
    folded.wrapping_mul(SHORT_MULTIPLIER) & SHORT_MASK
}

fn unscramble(mixed: u64) -> u64 {
    let inverse = inverse_of_multiplier();
    let folded = mixed.wrapping_mul(inverse) & SHORT_MASK;
    let once = folded ^ (folded >> 20);
    once.wrapping_mul(inverse) & SHORT_MASK
}

/// Newton's iteration for the inverse of an odd number modulo a power of two.
fn inverse_of_multiplier() -> u64 {
    let mut inverse = 1u64;
    for _ in 0..6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(SHORT_MULTIPLIER.wrapping_mul(inverse)));
    }
    inverse & SHORT_MASK
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Source: Airflow's `config_templates/config.yml: allowed_run_id_pattern`,
    /// `models/dagrun.py: validate_run_id`, `utils/types.py: DagRunType.from_run_id`.
    #[test]
    fn a_run_has_a_name_that_airflow_would_take() {
        let longest = "a".repeat(RUN_ID_MAX);
        let good = [
            "a",
            "manual__2026-11-22T08:00:00+00:00",
            "A.z_0~9:+-",
            "scheduled",
            "scheduled_by_hand",
            "not_scheduled__x",
            &longest,
        ];
        for name in good {
            assert_eq!(check_run_id(name), Ok(()), "{name}");
        }
        let longer = "a".repeat(RUN_ID_MAX + 1);
        let bad = [
            ("", "A-Z"),
            ("a b", "A-Z"),
            ("a/b", "A-Z"),
            ("a@b", "A-Z"),
            ("\u{e9}", "A-Z"),
            (&longer, "A-Z"),
            ("a..b", "`..`"),
            ("scheduled__2026-11-22T08:00:00+00:00", "scheduled runs"),
            ("backfill__x", "backfill runs"),
            ("asset_triggered__x", "asset_triggered runs"),
        ];
        for (name, why) in bad {
            let told = check_run_id(name).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    proptest! {
        #[test]
        fn a_short_id_leads_back_to_its_run(number in 0i64..1 << 40) {
            let short = RunNo(number).short_id();
            prop_assert_eq!(short.len(), 8);
            prop_assert_eq!(RunNo::from_short_id(&short), Some(RunNo(number)));
        }
    }
}
