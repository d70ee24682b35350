//! How often something is tried, and when again: sooner at first, and not for ever.
//!
//! Promise: what costs money is tried [`REVERTS_COUNT_MAX`] times, what costs a question [`REFUSALS_COUNT_MAX`] times; then it is for a person.

use std::time::{Duration, Instant};

/// How often a delivery may be mined and revert, each time at the payer's cost.
pub(crate) const REVERTS_COUNT_MAX: u32 = 3;

/// How often a delivery may be refused before it is sent: with [`PAUSE_MAX`] in between, most of a day.
pub(crate) const REFUSALS_COUNT_MAX: u32 = 144;

/// After the first try that came to nothing; twice as long after each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause.
pub(crate) const PAUSE_MAX: Duration = Duration::from_mins(10);

/// By how much more gas a delivery that reverted is sent again, in percent: a handler may have run out of it.
const GAS_MORE_PERCENT: u64 = 150;

/// The longest pause where others are waited for who may be back any moment: a shard, an attestor.
pub(crate) const PAUSE_SHORT_MAX: Duration = Duration::from_secs(10);

/// What has come of trying so far.
#[derive(Debug, Clone)]
pub(crate) struct Tries {
    pause_max: Duration,
    refusals: u32,
    reverts: u32,
    in_a_row: u32,
    not_before: Option<Instant>,
    gas_min: u64,
}

impl Tries {
    /// Nothing yet; pauses grow to `pause_max`.
    pub(crate) fn with_pauses(pause_max: Duration) -> Self {
        Self { pause_max, refusals: 0, reverts: 0, in_a_row: 0, not_before: None, gas_min: 0 }
    }

    /// As an operator wants it: from the beginning, with at least this much gas.
    pub(crate) fn with_gas(gas_min: u64) -> Self {
        Self { gas_min, ..Self::with_pauses(PAUSE_MAX) }
    }

    /// Whether it is time.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|not_before| now >= not_before)
    }

    /// The least gas to try with.
    pub(crate) fn gas_min(&self) -> u64 {
        self.gas_min
    }

    /// How often it was tried in vain.
    pub(crate) fn count(&self) -> u32 {
        self.refusals + self.reverts
    }

    /// It was refused without cost.
    pub(crate) fn refused(&mut self, now: Instant) {
        self.refusals += 1;
        self.pause(now);
    }

    /// It was mined and reverted with this gas.
    pub(crate) fn reverted(&mut self, gas: u64, now: Instant) {
        self.reverts += 1;
        self.gas_min = self.gas_min.max(gas.saturating_mul(GAS_MORE_PERCENT) / 100);
        self.pause(now);
    }

    /// Looks again after a pause that grows; says nothing of the thing itself.
    pub(crate) fn pause(&mut self, now: Instant) {
        let pause = PAUSE_MIN.saturating_mul(1_u32.checked_shl(self.in_a_row).unwrap_or(u32::MAX)).min(self.pause_max);
        self.in_a_row += 1;
        self.not_before = Some(now + pause);
    }

    /// Whether it is for a person now.
    pub(crate) fn is_over(&self) -> bool {
        self.reverts >= REVERTS_COUNT_MAX || self.refusals >= REFUSALS_COUNT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bedrock_what_too_little_gas_reverted_is_tried_three_times_with_more_each() {
        let (mut tries, now) = (Tries::with_gas(0), Instant::now());
        for gas in [100_000, 150_000] {
            tries.reverted(gas, now);
            assert!(!tries.is_over());
        }
        assert_eq!(tries.gas_min(), 225_000);
        tries.reverted(225_000, now);
        assert!(tries.is_over());
    }

    #[test]
    fn pauses_grow_to_their_bound_and_what_costs_nothing_is_tried_for_most_of_a_day() {
        let (mut tries, mut now, start) = (Tries::with_gas(0), Instant::now(), Instant::now());
        for _ in 0..REFUSALS_COUNT_MAX {
            assert!(tries.is_due(now) && !tries.is_over());
            tries.refused(now);
            assert!(!tries.is_due(now));
            now += PAUSE_MAX;
            assert!(tries.is_due(now));
        }
        assert!(tries.is_over());
        assert!(now - start > Duration::from_hours(20));
    }
}
