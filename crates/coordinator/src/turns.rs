//! Who runs next: those whose runs cost little and whose sender has had little run for nothing.
//!
//! ```text
//!   ready ── by (gas it may burn + gas its sender burnt unpaid, arrival) ──> this step's runs, up to a bound of gas
//!         '── the one that came first, whatever it costs ──────────────────> one more
//!   of those whose runs are made beside the step, one place is for the one that came first
//! ```
//!
//! A run that ends in a refusal costs its sender nothing, so it may cost the others little: it waits behind everybody who asks for
//! less. Nobody waits for ever: each step also runs the one that came first, and so does one of the places beside it.
//! Whose turn it is at a key is another matter, which [`crate::claims`] decides by arrival alone.

use crate::claims::Turn;
use alloy_primitives::Address;
use primitives::{Millis, Time};
use std::collections::BTreeMap;

/// Gas that is no difference: whoever asks for less is served in the order of arrival.
const GAS_PER_CLASS: u64 = 1_000_000;
/// How often what is unpaid is halved.
const HALF_LIFE: Millis = Millis(1_000);
/// Most senders whose unpaid gas is remembered, some 64 bytes each; one more empties the memory.
const SENDERS_COUNT_MAX: usize = 65_536;

/// Gas that was burnt for senders who have not paid for it, halved each second.
#[derive(Debug)]
pub(crate) struct Unpaid {
    gas: BTreeMap<Address, u64>,
    halved: Time,
}

impl Default for Unpaid {
    fn default() -> Self {
        Self { gas: BTreeMap::new(), halved: Time(0) }
    }
}

impl Unpaid {
    /// `gas` was burnt for `sender`.
    pub(crate) fn burn(&mut self, sender: Address, gas: u64) {
        if gas == 0 {
            return;
        }
        if self.gas.len() >= SENDERS_COUNT_MAX {
            self.gas.clear();
        }
        let burnt = self.gas.entry(sender).or_default();
        *burnt = burnt.saturating_add(gas);
    }

    /// `sender` has paid for it.
    pub(crate) fn pay(&mut self, sender: Address, gas: u64) {
        if let Some(burnt) = self.gas.get_mut(&sender) {
            *burnt = burnt.saturating_sub(gas);
        }
    }

    /// Time goes by.
    pub(crate) fn age(&mut self, now: Time) {
        let halvings = now.since(self.halved).0 / HALF_LIFE.0;
        if halvings == 0 {
            return;
        }
        self.halved = now;
        self.gas.retain(|_, gas| {
            *gas = gas.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0);
            *gas > 0
        });
    }

    /// The class of a run that may burn `gas`: the lower the sooner.
    pub(crate) fn class(&self, sender: Option<Address>, gas: u64) -> u64 {
        let unpaid = sender.and_then(|sender| self.gas.get(&sender)).copied().unwrap_or(0);
        gas.saturating_add(unpaid) / GAS_PER_CLASS
    }
}

/// The order of one step's runs.
pub(crate) fn order(ready: impl Iterator<Item = Turn>, class: impl Fn(Turn) -> u64) -> Vec<Turn> {
    let mut order: Vec<(u64, Turn)> = ready.map(|turn| (class(turn), turn)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, turn)| turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_little_goes_first_and_equals_go_in_the_order_of_arrival() {
        let (mut unpaid, [alice, bob]) = (Unpaid::default(), [1, 2].map(Address::repeat_byte));
        unpaid.burn(alice, 5_000_000);
        let asks = [(alice, 21_000), (bob, 30_000_000), (bob, 50_000), (bob, 21_000)];
        let ready = (0..4).map(Turn);
        let class = |Turn(turn): Turn| unpaid.class(Some(asks[turn as usize].0), asks[turn as usize].1);
        assert_eq!(order(ready, class), [2, 3, 0, 1].map(Turn));
    }

    #[test]
    fn what_is_unpaid_is_forgotten_with_time_and_when_it_is_paid() {
        let (mut unpaid, alice) = (Unpaid::default(), Address::repeat_byte(1));
        unpaid.age(Time(10_000));
        unpaid.burn(alice, 8_000_000);
        unpaid.pay(alice, 4_000_000);
        assert_eq!(unpaid.class(Some(alice), 0), 4);
        unpaid.age(Time(11_000));
        assert_eq!(unpaid.class(Some(alice), 0), 2);
        unpaid.age(Time(100_000));
        assert_eq!((unpaid.class(Some(alice), 0), unpaid.gas.len()), (0, 0));
    }

    #[test]
    fn the_memory_has_a_bound() {
        let mut unpaid = Unpaid::default();
        for number in 0..=SENDERS_COUNT_MAX as u64 {
            unpaid.burn(Address::left_padding_from(&number.to_be_bytes()), 1);
        }
        assert_eq!(unpaid.gas.len(), 1);
    }
}
