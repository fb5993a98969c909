//! Random numbers from a seed that a failing test prints.

/// SplitMix64: small, good enough, and the same everywhere.
pub struct Chance(u64);

impl Chance {
    /// From `TIDEMILL_SEED`, or else from the clock; prints which.
    pub fn from_environment(what: &str) -> Chance {
        let given = std::env::var("TIDEMILL_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = given.unwrap_or_else(|| now.map_or(1, |since| since.as_nanos() as u64));
        println!("{what}: TIDEMILL_SEED={seed}");
        Chance(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low + 1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.draw().is_multiple_of(times)
    }
}
