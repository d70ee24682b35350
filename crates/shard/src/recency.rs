//! The newest slot that touched each key: what makes time run one way (R13, I20).
//!
//! ```text
//!   committed at slot s:   reads k     writes k    credits k       and what that asks of whoever comes after at slot t
//!   reads k                  any        t >= s       t >= s
//!   writes k               t >= s       t >= s       t >= s
//!   credits k              t >= s       t >= s         any
//! ```
//!
//! Every conflict between two commits is on one shard, and there it is ordered as the slots are. So all commits of all
//! shards have one serial order in which slots never decrease: by slot, and within a slot as the logs have it.
//!
//! Memory only. A slot that the shard's time has left behind is refused anyway, so what was touched last before it is
//! forgotten; a shard that opens takes the newest slot it ever committed for that of every key.
//! Knows nothing of time: which slots are still taken is for the caller to say.

use crate::limits::RECENT_KEYS_COUNT_MAX;
use alloy_primitives::map::HashMap;
use evm::{LockMode, StateKey};
use primitives::Slot;
use std::collections::BTreeMap;

/// The newest slots that touched one key, each in one mode.
#[derive(Debug, Clone, Copy)]
struct Touched {
    shared: Slot,
    exclusive: Slot,
    credit: Slot,
}

impl Touched {
    const NEVER: Self = Self { shared: Slot(0), exclusive: Slot(0), credit: Slot(0) };

    /// The oldest slot at which the key may be held in `mode` now.
    fn needed(self, mode: LockMode) -> Slot {
        match mode {
            LockMode::Shared => self.exclusive.max(self.credit),
            LockMode::Credit => self.exclusive.max(self.shared),
            LockMode::Exclusive => self.newest(),
        }
    }

    fn touch(&mut self, mode: LockMode, slot: Slot) {
        let newest = match mode {
            LockMode::Shared => &mut self.shared,
            LockMode::Credit => &mut self.credit,
            LockMode::Exclusive => &mut self.exclusive,
        };
        *newest = slot.max(*newest);
    }

    fn newest(self) -> Slot {
        self.shared.max(self.exclusive).max(self.credit)
    }
}

/// What was committed of late, by key.
#[derive(Debug)]
pub(crate) struct Recency {
    keys: HashMap<StateKey, Touched>,
    /// The keys touched at each slot that is remembered; a key stands at every slot that touched it.
    slots: BTreeMap<Slot, Vec<StateKey>>,
    /// No key is taken below it, whatever was forgotten of it.
    floor: Slot,
    newest: Slot,
}

impl Recency {
    /// Of a shard that opens, whose newest commit was at `newest`: whatever it touched, it may have touched then.
    pub(crate) fn open(newest: Slot) -> Self {
        Self { keys: HashMap::default(), slots: BTreeMap::new(), floor: newest, newest }
    }

    /// The newest slot that anything was committed at.
    pub(crate) fn newest(&self) -> Slot {
        self.newest
    }

    /// The oldest slot at which a payload with these locks comes after all that was committed before it.
    pub(crate) fn needed(&self, locks: &BTreeMap<StateKey, LockMode>) -> Slot {
        let needed = |(key, mode): (&StateKey, &LockMode)| Some(self.keys.get(key)?.needed(*mode));
        locks.iter().filter_map(needed).max().map_or(self.floor, |needed| needed.max(self.floor))
    }

    /// Notes a commit at `slot`.
    pub(crate) fn touch(&mut self, locks: &BTreeMap<StateKey, LockMode>, slot: Slot) {
        self.newest = self.newest.max(slot);
        for (key, mode) in locks {
            self.keys.entry(*key).or_insert(Touched::NEVER).touch(*mode, slot);
        }
        self.slots.entry(slot).or_default().extend(locks.keys());
        if self.keys.len() > RECENT_KEYS_COUNT_MAX {
            *self = Self::open(self.newest); // Costs others a run at a newer slot, and nothing more.
        }
    }

    /// Forgets what only slots before `oldest` touched: they are not taken any more.
    pub(crate) fn forget_before(&mut self, oldest: Slot) {
        while let Some(entry) = self.slots.first_entry().filter(|entry| *entry.key() < oldest) {
            for key in entry.remove() {
                if self.keys.get(&key).is_some_and(|touched| touched.newest() < oldest) {
                    self.keys.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Credit, Exclusive, Shared};
    use alloy_primitives::Address;

    fn key(byte: u8) -> StateKey {
        StateKey::Account(Address::repeat_byte(byte))
    }

    fn touched(mode: LockMode) -> Recency {
        let mut recency = Recency::open(Slot(0));
        recency.touch(&[(key(1), mode)].into(), Slot(7));
        recency
    }

    #[test]
    fn what_conflicts_needs_the_newest_slot_and_what_commutes_none() {
        for (before, after, needed) in [
            (Shared, Shared, 0),
            (Shared, Credit, 7),
            (Shared, Exclusive, 7),
            (Credit, Shared, 7),
            (Credit, Credit, 0),
            (Credit, Exclusive, 7),
            (Exclusive, Shared, 7),
            (Exclusive, Credit, 7),
            (Exclusive, Exclusive, 7),
        ] {
            let recency = touched(before);
            assert_eq!(recency.needed(&[(key(1), after)].into()), Slot(needed), "{before:?}, then {after:?}");
            assert_eq!(recency.needed(&[(key(2), after)].into()), Slot(0), "another key");
        }
    }

    #[test]
    fn an_older_commit_that_commutes_lowers_nothing() {
        let mut recency = touched(Shared);
        recency.touch(&[(key(1), Shared)].into(), Slot(5));
        assert_eq!(recency.needed(&[(key(1), Exclusive)].into()), Slot(7));
        assert_eq!(recency.newest(), Slot(7));
    }

    #[test]
    fn what_is_touched_again_is_kept_and_what_is_left_behind_is_forgotten() {
        let mut recency = touched(Exclusive);
        recency.touch(&[(key(2), Exclusive)].into(), Slot(7));
        recency.touch(&[(key(1), Shared)].into(), Slot(9));
        recency.forget_before(Slot(8));
        assert_eq!(recency.needed(&[(key(1), Exclusive)].into()), Slot(9));
        assert_eq!(recency.needed(&[(key(2), Exclusive)].into()), Slot(0));
        recency.forget_before(Slot(10));
        assert!(recency.keys.is_empty() && recency.slots.is_empty());
    }

    #[test]
    fn a_shard_that_opens_takes_nothing_before_its_newest_commit() {
        assert_eq!(Recency::open(Slot(7)).needed(&[(key(1), Shared)].into()), Slot(7));
    }

    #[test]
    fn more_keys_than_the_bound_are_forgotten_together_and_nothing_goes_back() {
        let mut recency = Recency::open(Slot(0));
        for slot in 0..=RECENT_KEYS_COUNT_MAX as u64 {
            let key = StateKey::Slot(Address::ZERO, alloy_primitives::U256::from(slot));
            recency.touch(&[(key, Exclusive)].into(), Slot(3));
        }
        assert!(recency.keys.is_empty());
        assert_eq!(recency.needed(&[(key(1), Shared)].into()), Slot(3));
    }
}
