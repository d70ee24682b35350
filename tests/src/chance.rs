//! Seeded choices: a scenario is said again with `DOVETAIL_SEED=<seed>`, as far as processes and clocks allow.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The variable that fixes the seed.
pub const SEED_VARIABLE: &str = "DOVETAIL_SEED";

/// A stream of choices (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of the seed in [`SEED_VARIABLE`], or of a new one; prints which.
    pub fn announced() -> Self {
        let fixed = std::env::var(SEED_VARIABLE).ok().and_then(|text| text.parse().ok());
        let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        let seed = fixed.unwrap_or_else(fresh);
        println!("{SEED_VARIABLE}={seed}");
        Self { state: seed }
    }

    /// A stream of its own for `name`.
    #[must_use]
    pub fn fork(&self, name: u64) -> Self {
        Self { state: Self { state: self.state ^ name.wrapping_mul(0x9e37_79b9_7f4a_7c15) }.next() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number under `bound`, which is not 0.
    pub fn under(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A time from `from` up to `to` milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.under(to - from))
    }
}
