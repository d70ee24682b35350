//! The view cache: what the network's state is believed to be.
//!
//! Two generations of at most half the bound each: what is used moves to the young one, and when that is full the old one
//! is dropped whole. A value that is wrong here costs a retry, because its owner votes no; it can do no other harm.

use crate::input::ProvenCode;
use crate::proofs::CodeProofs;
use alloy_primitives::{Address, B256, U256};
use evm::{AccountState, Bytecode, Changes, CodeCache, Data, FeesKey, Lookup, StateKey, View};
use primitives::Time;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Most keys remembered.
pub const CACHE_KEYS_COUNT_MAX: usize = 1 << 19;

/// The value of a [`StateKey`], of the kind that the key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateValue {
    /// Of an account; `None` where none exists.
    Account(Option<AccountState>),
    /// Of a storage slot.
    Slot(U256),
    /// Of a fragment of fees, wei.
    Fees(U256),
}

impl StateValue {
    /// Whether it is of the kind that `key` names.
    pub fn is_of(&self, key: &StateKey) -> bool {
        matches!(
            (self, key),
            (Self::Account(_), StateKey::Account(_))
                | (Self::Slot(_), StateKey::Slot(..))
                | (Self::Fees(_), StateKey::Fees(_))
        )
    }
}

/// When a value was learned: the count of steps. Never compared with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Stamp(pub(crate) u64);

#[derive(Debug, Clone, Copy)]
struct Entry {
    value: StateValue,
    learned: Stamp,
}

type Generation = BTreeMap<StateKey, Entry>;

/// A bounded guess at the values of the network's state.
#[derive(Debug, Default)]
pub struct ViewCache {
    young: Generation,
    old: Generation,
    codes: Arc<CodeCache>,
    proofs: CodeProofs,
}

impl ViewCache {
    /// An empty cache whose codes may be shared with others.
    pub fn new(codes: Arc<CodeCache>) -> Self {
        Self { codes, ..Self::default() }
    }

    /// The value of `key`, if it is here.
    pub fn get(&self, key: &StateKey) -> Option<StateValue> {
        self.young.get(key).or_else(|| self.old.get(key)).map(|entry| entry.value)
    }

    /// How many keys are remembered.
    pub fn keys_count(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Learns a value that was asked for at `asked`, unless a newer one was learned since.
    pub(crate) fn learn(&mut self, key: StateKey, value: StateValue, asked: Stamp, now: Stamp) {
        let known = self.young.get(&key).or_else(|| self.old.get(&key));
        if value.is_of(&key) && known.is_none_or(|entry| entry.learned <= asked) {
            self.put(key, value, now);
        }
    }

    /// Learns a code; bytes that are no code are not kept.
    pub(crate) fn learn_code(&self, bytes: &Data) {
        // The hash is computed here, so a wrong code only fails to be the one that is missing.
        let _ = self.codes.code(alloy_primitives::keccak256(&bytes.0), bytes);
    }

    /// Learns an owner's answer to a question for a proof of the code at `address`.
    pub(crate) fn learn_proof(&mut self, address: Address, proof: Option<ProvenCode>, now: Time) {
        self.proofs.learn(address, proof, now);
    }

    /// What proves the code at `address`, if that is known.
    pub(crate) fn code_proof(&self, address: Address) -> Option<Data> {
        self.proofs.proof(address)
    }

    /// Forgets what has been unproven for long enough to ask again.
    pub(crate) fn age_proofs(&mut self, now: Time) {
        self.proofs.age(now);
    }

    /// Forgets `key`: somebody says it is not so.
    pub(crate) fn forget(&mut self, key: &StateKey) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// Keeps what was used from growing old.
    pub(crate) fn used(&mut self, keys: impl IntoIterator<Item = StateKey>) {
        for key in keys {
            if let Some(entry) = self.old.remove(&key) {
                self.young.insert(key, entry);
            }
        }
        self.age();
    }

    /// Takes over the changes of a commit.
    pub(crate) fn apply(&mut self, changes: &Changes, now: Stamp) {
        changes.codes.values().for_each(|code| self.learn_code(code));
        for (address, account) in &changes.accounts {
            self.put(StateKey::Account(*address), StateValue::Account(*account), now);
        }
        for address in &changes.wiped {
            self.wipe(*address);
        }
        for ((address, slot), value) in &changes.slots {
            self.put(StateKey::Slot(*address, *slot), StateValue::Slot(*value), now);
        }
        for fees in &changes.drained {
            self.put(StateKey::Fees(*fees), StateValue::Fees(U256::ZERO), now);
        }
        for (fees, credit) in &changes.credits {
            let key = StateKey::Fees(*fees);
            if let Some(StateValue::Fees(held)) = self.get(&key) {
                self.put(key, StateValue::Fees(held.saturating_add(*credit)), now);
            }
        }
    }

    fn put(&mut self, key: StateKey, value: StateValue, learned: Stamp) {
        self.old.remove(&key);
        self.young.insert(key, Entry { value, learned });
        self.age();
    }

    fn age(&mut self) {
        if self.young.len() >= CACHE_KEYS_COUNT_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }

    fn wipe(&mut self, address: Address) {
        let slots = StateKey::Slot(address, U256::ZERO)..=StateKey::Slot(address, U256::MAX);
        for generation in [&mut self.young, &mut self.old] {
            let gone: Vec<StateKey> = generation.range(slots.clone()).map(|(key, _)| *key).collect();
            for key in &gone {
                generation.remove(key);
            }
        }
    }
}

impl View for ViewCache {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        match self.get(&StateKey::Account(address)) {
            Some(StateValue::Account(account)) => Lookup::Known(account),
            _ => Lookup::Unknown,
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        match self.get(&StateKey::Slot(address, slot)) {
            Some(StateValue::Slot(value)) => Lookup::Known(value),
            _ => Lookup::Unknown,
        }
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        match self.get(&StateKey::Fees(key)) {
            Some(StateValue::Fees(value)) => Lookup::Known(value),
            _ => Lookup::Unknown,
        }
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        self.codes.get(hash).map_or(Lookup::Unknown, Lookup::Known)
    }

    fn fixed_code(&self, address: Address) -> Lookup<Option<B256>> {
        self.proofs.hash(address, Time(u64::MAX))
    }
}

/// The view cache, of which the machine's step alone is the writer.
#[derive(Clone, Default)]
pub(crate) struct SharedCache(Arc<RwLock<ViewCache>>);

impl SharedCache {
    /// The cache is whole after each of its operations, so a panic elsewhere does not spoil it.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, ViewCache> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, ViewCache> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCache").finish_non_exhaustive()
    }
}

/// A view of the cache that notes what one run looked at, so that a run that fails can be told from a wrong guess.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    cache: &'a SharedCache,
    /// When the run's slot is over.
    end: Time,
    looked_at: RefCell<BTreeSet<StateKey>>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(cache: &'a SharedCache, end: Time) -> Self {
        Self { cache, end, looked_at: RefCell::default() }
    }

    pub(crate) fn looked_at(self) -> BTreeSet<StateKey> {
        self.looked_at.into_inner()
    }

    fn note(&self, key: StateKey) {
        self.looked_at.borrow_mut().insert(key);
    }
}

impl View for Watched<'_> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        self.note(StateKey::Account(address));
        self.cache.read().account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        self.note(StateKey::Slot(address, slot));
        self.cache.read().slot(address, slot)
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        self.note(StateKey::Fees(key));
        self.cache.read().fees(key)
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        self.cache.read().code(hash)
    }

    fn fixed_code(&self, address: Address) -> Lookup<Option<B256>> {
        self.cache.read().proofs.hash(address, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(byte: u8) -> StateKey {
        StateKey::Account(Address::repeat_byte(byte))
    }

    fn balance(wei: u64) -> StateValue {
        StateValue::Account(Some(AccountState::with_balance(U256::from(wei))))
    }

    #[test]
    fn a_late_answer_does_not_hide_a_newer_commit() {
        let mut cache = ViewCache::default();
        let changes = Changes {
            accounts: [(Address::repeat_byte(1), Some(AccountState::with_balance(U256::from(2))))].into(),
            ..Changes::default()
        };
        cache.apply(&changes, Stamp(5));
        cache.learn(account(1), balance(1), Stamp(4), Stamp(6));
        assert_eq!(cache.get(&account(1)), Some(balance(2)));
        cache.learn(account(1), balance(3), Stamp(5), Stamp(7));
        assert_eq!(cache.get(&account(1)), Some(balance(3)));
    }

    #[test]
    fn a_value_of_another_kind_than_its_key_is_not_learned() {
        let mut cache = ViewCache::default();
        cache.learn(account(1), StateValue::Slot(U256::ONE), Stamp(1), Stamp(1));
        assert_eq!(cache.get(&account(1)), None);
    }

    #[test]
    fn a_wiped_account_loses_its_slots_and_no_others() {
        let mut cache = ViewCache::default();
        let slot = |byte, slot| StateKey::Slot(Address::repeat_byte(byte), U256::from(slot));
        for key in [slot(1, 0), slot(1, 7), slot(2, 0)] {
            cache.learn(key, StateValue::Slot(U256::ONE), Stamp(1), Stamp(1));
        }
        let written = [((Address::repeat_byte(1), U256::from(9)), U256::from(3))].into();
        let wiped = [Address::repeat_byte(1)].into();
        cache.apply(&Changes { wiped, slots: written, ..Changes::default() }, Stamp(2));
        let left: Vec<_> = [slot(1, 0), slot(1, 7), slot(2, 0), slot(1, 9)].iter().map(|key| cache.get(key)).collect();
        let (one, three) = (StateValue::Slot(U256::ONE), StateValue::Slot(U256::from(3)));
        assert_eq!(left, [None, None, Some(one), Some(three)]);
    }

    #[test]
    fn what_is_used_outlives_what_is_not_and_the_bound_holds() {
        let mut cache = ViewCache::default();
        let key = |number: usize| StateKey::Slot(Address::ZERO, U256::from(number));
        for number in 0..CACHE_KEYS_COUNT_MAX + 10 {
            cache.learn(key(number), StateValue::Slot(U256::ONE), Stamp(1), Stamp(1));
            cache.used([key(0)]);
        }
        assert!(cache.keys_count() <= CACHE_KEYS_COUNT_MAX);
        assert!(cache.get(&key(0)).is_some(), "it was used all the time");
        assert!(cache.get(&key(1)).is_none());
    }
}
