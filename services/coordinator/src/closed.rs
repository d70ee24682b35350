//! State after closed blocks, remembered: it never changes, so what a shard said of it once is right for ever.
//!
//! ```text
//!   slot -> the values that were asked for after it        the slots used longest ago go first, each whole
//! ```
//!
//! Promise: what is told here is what the key's owner said for just that slot. Bounded in bytes.
//! Knows nothing of shards, of the head, and of the newest state.

use evm::StateKey;
use primitives::Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use wire::state::StateValue;

/// Most bytes of values that are remembered, about.
const VALUES_BYTES_MAX: usize = 32 << 20;

/// What a value takes with its key and its place in a table, about.
const VALUE_BYTES: usize = 256;

/// What is known of the state after closed slots.
#[derive(Debug)]
pub(crate) struct Closed {
    slots: Mutex<Slots>,
    values_count_max: usize,
}

#[derive(Debug, Default)]
struct Slots {
    known: BTreeMap<Slot, Remembered>,
    /// By their last use, the oldest first.
    by_use: BTreeMap<u64, Slot>,
    uses_count: u64,
    values_count: usize,
}

#[derive(Debug, Default)]
struct Remembered {
    state: Arc<State>,
    used: u64,
    values_count: usize,
}

/// What is known of the state after one slot. It may become more while it is looked at, never another.
#[derive(Debug, Default)]
pub(crate) struct State(RwLock<HashMap<StateKey, StateValue>>);

impl State {
    /// The value of `key`, if it is known.
    pub(crate) fn get(&self, key: &StateKey) -> Option<StateValue> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// Takes over values; says how many are new.
    fn add(&self, values: impl IntoIterator<Item = (StateKey, StateValue)>) -> usize {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.extend(values);
        known.len() - before
    }
}

impl Closed {
    /// With nothing known.
    pub(crate) fn new() -> Self {
        Self::bounded(VALUES_BYTES_MAX / VALUE_BYTES)
    }

    fn bounded(values_count_max: usize) -> Self {
        Self { slots: Mutex::default(), values_count_max }
    }

    /// What is known of the state after `slot`.
    pub(crate) fn state(&self, slot: Slot) -> Arc<State> {
        let mut slots = self.lock();
        if !slots.known.contains_key(&slot) {
            return Arc::default();
        }
        Arc::clone(&slots.used(slot).state)
    }

    /// Remembers what the owners of these keys said of the state after `slot`.
    pub(crate) fn add(&self, slot: Slot, values: impl IntoIterator<Item = (StateKey, StateValue)>) {
        let mut slots = self.lock();
        let remembered = slots.used(slot);
        let new_count = remembered.state.add(values);
        remembered.values_count += new_count;
        slots.values_count += new_count;
        while slots.values_count > self.values_count_max {
            slots.forget();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Each change leaves whole tables behind.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// A slot that is used now.
    fn used(&mut self, slot: Slot) -> &mut Remembered {
        self.uses_count += 1;
        let remembered = self.known.entry(slot).or_default();
        self.by_use.remove(&remembered.used);
        remembered.used = self.uses_count;
        self.by_use.insert(remembered.used, slot);
        remembered
    }

    /// Forgets the slot that was used longest ago; who looks at it still has it.
    fn forget(&mut self) {
        let oldest = self.by_use.pop_first().and_then(|(_, slot)| self.known.remove(&slot));
        self.values_count = oldest.map_or(0, |oldest| self.values_count - oldest.values_count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};

    fn key(number: u64) -> StateKey {
        StateKey::Slot(Address::ZERO, U256::from(number))
    }

    fn value(number: u64) -> StateValue {
        StateValue::Slot(U256::from(number))
    }

    #[test]
    fn what_was_said_of_one_slot_is_told_of_no_other() {
        let closed = Closed::new();
        closed.add(Slot(7), [(key(1), value(70))]);
        closed.add(Slot(8), [(key(1), value(80)), (key(2), value(81))]);
        let told = |slot, number| closed.state(Slot(slot)).get(&key(number));
        assert_eq!((told(7, 1), told(8, 1), told(8, 2)), (Some(value(70)), Some(value(80)), Some(value(81))));
        assert_eq!((told(7, 2), told(9, 1)), (None, None));
    }

    #[test]
    fn the_slot_used_longest_ago_goes_first_and_nothing_is_kept_beyond_the_bound() {
        let closed = Closed::bounded(4);
        closed.add(Slot(1), [(key(1), value(1)), (key(2), value(2))]);
        closed.add(Slot(2), [(key(1), value(3)), (key(2), value(4))]);
        let looked_at = closed.state(Slot(1));
        closed.add(Slot(3), [(key(1), value(5)), (key(1), value(5))]);
        let is_known = |slot| closed.state(Slot(slot)).get(&key(1)).is_some();
        assert_eq!((is_known(1), is_known(2), is_known(3)), (true, false, true));
        closed.add(Slot(4), (0..9).map(|number| (key(number), value(number))));
        let slots = closed.lock();
        assert_eq!((slots.values_count, slots.known.len(), slots.by_use.len()), (0, 0, 0), "it was too much by itself");
        assert_eq!(looked_at.get(&key(1)), Some(value(1)), "who looks at one still has it");
    }
}
