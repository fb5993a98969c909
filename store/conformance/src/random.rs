//! Chance that can be had again from its seed (splitmix64).

use serde_json::{Value, json};
use tidemill_model::Ts;

/// A source of numbers.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0, below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Something half of the time.
    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
        self.once_in(2).then(|| make(self))
    }

    /// Up to `most` things.
    pub(crate) fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }
}

/// An instant: mostly small, sometimes the first or the last that there is.
pub(crate) fn instant(random: &mut Random) -> Ts {
    match random.below(20) {
        0 => Ts(i64::MIN),
        1 => Ts(i64::MAX),
        _ => Ts(random.below(100) as i64 - 10),
    }
}

/// A text that databases have trouble with.
pub(crate) fn text(random: &mut Random) -> String {
    let words = [
        "",
        "plain",
        "it's \"quoted\"",
        "naïve 🦀",
        "a\u{0}b",
        "two\nlines",
        "%_\\",
    ];
    (*random.pick(&words)).to_string()
}

/// A JSON value.
pub(crate) fn json_value(random: &mut Random) -> Value {
    match random.below(7) {
        0 => Value::Null,
        1 => json!(random.once_in(2)),
        2 => json!(random.below(u64::MAX)),
        3 => json!(-(random.below(1 << 40) as i64)),
        4 => json!(random.below(64) as f64 / 8.0),
        5 => json!({"z": text(random), "a": [text(random), {}]}),
        _ => json!(text(random)),
    }
}
