//! Which attempt holds which key, in which mode.
//!
//!              shared   credit   exclusive
//!   shared       ok       -         -          taken all or nothing at the yes vote, held to the decision (R6);
//!   credit       -        ok        -          a conflict is an answer, nobody waits, so nobody deadlocks
//!   exclusive    -        -         -
//!
//! Promise (I7): no lock without a live attempt; every attempt's locks are taken and released together.
//! The table is memory: an attempt's locks are stored with its yes vote, in the same batch, and taken again at open.
//! Knows nothing of what a key stands for, and nothing of time: no clock ever releases a lock (R4).

use evm::{LockMode, StateKey};
use primitives::AttemptId;
use std::collections::{BTreeMap, BTreeSet};

/// Most keys one attempt may hold on one shard.
pub const LOCKS_PER_ATTEMPT_COUNT_MAX: usize = 65_536;

/// A key is held in a mode that does not go with the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key} is held by {holder}")]
pub struct Conflict {
    /// Which key.
    pub key: StateKey,
    /// How it was asked for.
    pub wanted: LockMode,
    /// One of its holders.
    pub holder: AttemptId,
}

/// How one key is held: in one mode, by at least one attempt, and by one only if exclusively.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    mode: LockMode,
    holders: BTreeSet<AttemptId>,
}

/// All locks of a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockTable {
    keys: BTreeMap<StateKey, Held>,
    attempts: BTreeMap<AttemptId, BTreeMap<StateKey, LockMode>>,
}

impl LockTable {
    /// The first of `wanted` that somebody holds in a mode that does not go with it.
    pub fn conflict(&self, wanted: &BTreeMap<StateKey, LockMode>) -> Option<Conflict> {
        wanted.iter().find_map(|(key, mode)| {
            let held = self.keys.get(key).filter(|held| !held.mode.is_compatible(*mode))?;
            Some(Conflict { key: *key, wanted: *mode, holder: *held.holders.first()? })
        })
    }

    /// Takes all of `wanted` for `attempt`, or nothing.
    ///
    /// # Errors
    /// [`Conflict`], with nothing taken.
    pub fn acquire(&mut self, attempt: AttemptId, wanted: BTreeMap<StateKey, LockMode>) -> Result<(), Conflict> {
        if let Some(conflict) = self.conflict(&wanted) {
            return Err(conflict);
        }
        for (key, mode) in &wanted {
            let held = self.keys.entry(*key).or_insert_with(|| Held { mode: *mode, holders: BTreeSet::new() });
            held.holders.insert(attempt);
        }
        self.attempts.insert(attempt, wanted);
        Ok(())
    }

    /// An attempt that may change `key`: it holds it, and not only to read it.
    pub fn changer(&self, key: &StateKey) -> Option<AttemptId> {
        let held = self.keys.get(key).filter(|held| held.mode != LockMode::Shared)?;
        held.holders.first().copied()
    }

    /// Gives back everything that `attempt` holds.
    pub fn release(&mut self, attempt: AttemptId) {
        for key in self.attempts.remove(&attempt).unwrap_or_default().into_keys() {
            if let Some(held) = self.keys.get_mut(&key) {
                held.holders.remove(&attempt);
                if held.holders.is_empty() {
                    self.keys.remove(&key);
                }
            }
        }
    }

    /// Who holds locks.
    pub fn holders(&self) -> impl Iterator<Item = AttemptId> + '_ {
        self.attempts.keys().copied()
    }

    /// How many keys are held.
    pub fn keys_count(&self) -> usize {
        self.keys.len()
    }

    /// How many hold locks.
    pub fn holders_count(&self) -> usize {
        self.attempts.len()
    }

    /// Whether `attempt` holds anything, or is known to hold nothing.
    pub fn is_holder(&self, attempt: AttemptId) -> bool {
        self.attempts.contains_key(&attempt)
    }

    /// Checks the table against itself; cost grows with the number of locks.
    pub(crate) fn assert_valid(&self) {
        for (key, held) in &self.keys {
            assert!(!held.holders.is_empty(), "{key} is held by nobody");
            assert!(held.mode != LockMode::Exclusive || held.holders.len() == 1, "{key} is exclusive to several");
            for holder in &held.holders {
                let mode = self.attempts.get(holder).and_then(|keys| keys.get(key));
                assert_eq!(mode, Some(&held.mode), "{key} is held by {holder} without its knowledge");
            }
        }
        let held: usize = self.keys.values().map(|held| held.holders.len()).sum();
        assert_eq!(held, self.attempts.values().map(BTreeMap::len).sum::<usize>(), "a holder's key is not held");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Credit, Exclusive, Shared};
    use alloy_primitives::Address;
    use primitives::Digest;

    fn attempt(byte: u8) -> AttemptId {
        AttemptId(Digest::new([byte; 32]))
    }

    fn key(byte: u8) -> StateKey {
        StateKey::Account(Address::repeat_byte(byte))
    }

    #[test]
    fn readers_share_and_creditors_share_and_nobody_else() {
        for (first, second, free) in [
            (Shared, Shared, true),
            (Credit, Credit, true),
            (Shared, Credit, false),
            (Shared, Exclusive, false),
            (Exclusive, Shared, false),
            (Exclusive, Exclusive, false),
            (Credit, Exclusive, false),
        ] {
            let mut table = LockTable::default();
            table.acquire(attempt(1), [(key(1), first)].into()).unwrap();
            assert_eq!(table.acquire(attempt(2), [(key(1), second)].into()).is_ok(), free, "{first:?} {second:?}");
            table.assert_valid();
        }
    }

    #[test]
    fn a_conflict_takes_nothing() {
        let mut table = LockTable::default();
        table.acquire(attempt(1), [(key(2), Exclusive)].into()).unwrap();
        let refused = table.acquire(attempt(2), [(key(1), Exclusive), (key(2), Shared)].into());
        assert_eq!(refused, Err(Conflict { key: key(2), wanted: Shared, holder: attempt(1) }));
        assert_eq!(table.keys_count(), 1);
        assert!(!table.is_holder(attempt(2)));
    }

    #[test]
    fn a_key_has_a_changer_while_one_holds_it_for_more_than_reading() {
        let mut table = LockTable::default();
        table.acquire(attempt(1), [(key(1), Shared), (key(2), Credit)].into()).unwrap();
        table.acquire(attempt(2), [(key(2), Credit), (key(3), Exclusive)].into()).unwrap();
        let changers = |table: &LockTable| [1, 2, 3].map(|byte| table.changer(&key(byte)));
        assert_eq!(changers(&table), [None, Some(attempt(1)), Some(attempt(2))]);
        table.release(attempt(1));
        assert_eq!(changers(&table), [None, Some(attempt(2)), Some(attempt(2))]);
        table.release(attempt(2));
        assert_eq!(changers(&table), [None; 3]);
    }

    #[test]
    fn the_last_reader_frees_the_key() {
        let mut table = LockTable::default();
        table.acquire(attempt(1), [(key(1), Shared)].into()).unwrap();
        table.acquire(attempt(2), [(key(1), Shared)].into()).unwrap();
        table.release(attempt(1));
        assert!(table.conflict(&[(key(1), Exclusive)].into()).is_some());
        table.release(attempt(2));
        assert_eq!(table, LockTable::default());
    }
}
