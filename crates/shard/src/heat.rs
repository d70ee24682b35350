//! Which keys new work met locked lately: what a person looks at who asks why attempts say no.
//!
//!   a no, or "busy", for a held key --> counted in this span --> this span and the one before are told, the hottest first
//!
//! Promise: bounded: [`HEAT_KEYS_COUNT_MAX`] keys in each of two spans of [`HEAT_SPAN`]. A key that comes when all places are taken
//! takes that of the least counted and goes on from its count, so a count is at most that much too high, and no key that was met
//! more often than that is missing (Metwally et al., "Efficient Computation of Frequent and Top-k Elements", 2005).
//! Decides nothing, and is memory only: a restart counts from zero.

use crate::limits::{HEAT_KEYS_COUNT_MAX, HEAT_SPAN};
use evm::StateKey;
use primitives::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A key and how often it was met locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotKey {
    /// Which.
    pub key: StateKey,
    /// How often: this span's and the one's before.
    pub count: u64,
}

/// Both spans.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    /// Which span of time `newest` is of.
    span: u64,
    newest: Counts,
    before: Counts,
}

impl Heat {
    /// Counts that `key` was met locked.
    pub(crate) fn note(&mut self, key: StateKey, now: Time) {
        self.turn_to(now);
        self.newest.add(key);
    }

    /// The keys that were met most often, the hottest first, at most `count_max`.
    pub(crate) fn hottest(&mut self, now: Time, count_max: usize) -> Vec<HotKey> {
        self.turn_to(now);
        let mut sums = self.before.counts.clone();
        for (key, count) in &self.newest.counts {
            *sums.entry(*key).or_default() += count;
        }
        let mut hot: Vec<HotKey> = sums.into_iter().map(|(key, count)| HotKey { key, count }).collect();
        hot.sort_by_key(|hot| std::cmp::Reverse(hot.count));
        hot.truncate(count_max);
        hot
    }

    fn turn_to(&mut self, now: Time) {
        let span = now.0 / HEAT_SPAN.0;
        if span > self.span {
            let ended = std::mem::take(&mut self.newest);
            self.before = if span == self.span + 1 { ended } else { Counts::default() };
            self.span = span;
        }
    }
}

/// The counts of one span.
#[derive(Debug, Default)]
struct Counts {
    counts: BTreeMap<StateKey, u64>,
    /// The same, the least counted first.
    order: BTreeSet<(u64, StateKey)>,
}

impl Counts {
    fn add(&mut self, key: StateKey) {
        let count = match self.counts.get(&key) {
            Some(count) => *count,
            None if self.counts.len() < HEAT_KEYS_COUNT_MAX => 0,
            None => self.drop_least(),
        };
        self.order.remove(&(count, key));
        self.order.insert((count + 1, key));
        self.counts.insert(key, count + 1);
    }

    /// Frees the place of the least counted key; answers its count.
    fn drop_least(&mut self) -> u64 {
        let Some((count, key)) = self.order.pop_first() else { return 0 };
        self.counts.remove(&key);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    fn key(number: u64) -> StateKey {
        StateKey::Account(Address::left_padding_from(&number.to_be_bytes()))
    }

    fn told(heat: &mut Heat, now: u64) -> Vec<(StateKey, u64)> {
        heat.hottest(Time(now), 3).into_iter().map(|hot| (hot.key, hot.count)).collect()
    }

    #[test]
    fn the_hottest_key_comes_first_and_cools_after_two_spans() {
        let mut heat = Heat::default();
        for number in [1, 2, 2] {
            heat.note(key(number), Time(0));
        }
        heat.note(key(2), Time(HEAT_SPAN.0));
        assert_eq!(told(&mut heat, HEAT_SPAN.0), [(key(2), 3), (key(1), 1)]);
        assert_eq!(told(&mut heat, 2 * HEAT_SPAN.0), [(key(2), 1)]);
        assert_eq!(told(&mut heat, 4 * HEAT_SPAN.0), []);
    }

    #[test]
    fn many_keys_take_no_more_places_and_do_not_hide_the_hottest() {
        let mut heat = Heat::default();
        for number in 1..10 * HEAT_KEYS_COUNT_MAX as u64 {
            heat.note(key(number), Time(1));
            heat.note(key(0), Time(1));
        }
        assert_eq!(heat.newest.counts.len(), HEAT_KEYS_COUNT_MAX);
        assert_eq!(heat.newest.order.len(), HEAT_KEYS_COUNT_MAX);
        assert_eq!(told(&mut heat, 1)[0], (key(0), 10 * HEAT_KEYS_COUNT_MAX as u64 - 1));
    }
}
