//! A shard's part of the network's state: accounts, slots, codes, fragments of fees.
//!
//!   view ----> own keys: the value as this step sees it      apply ----> the step's batch
//!              others', and what a forked network has not read: unknown             '---> what the block changed, for the state tree
//!
//! Promise: an empty slot and an absent account take no space, so that equal states have equal bytes (I11); every change
//! goes through [`Ledger::apply`], so none is missing in the state tree.
//! Knows nothing of attempts, locks and messages.

use crate::base;
use crate::spaces::{self, ACCOUNTS, CODES, FEES, SLOTS};
use crate::staged::{Staged, get_value, own_value};
use crate::state_tree::{BlockChanges, ValueAt};
use alloy_primitives::{Address, B256, U256};
use evm::{AccountState, Bytecode, Changes, FeesKey, Lookup, Placement, StateKey, View};
use primitives::{Read, ShardId, Slot, encode};
use std::collections::BTreeMap;

/// How many slots of a wiped account are read at a time.
const WIPED_PAGE_COUNT: usize = 1024;

/// The account at `address`, if this shard has one there.
pub fn account(read: &impl Read, address: Address) -> Option<AccountState> {
    get_value(read, ACCOUNTS, &spaces::account_key(address))
}

/// The value of a slot; zero where nothing was written.
pub fn slot(read: &impl Read, address: Address, slot: U256) -> U256 {
    read.get(SLOTS, &spaces::slot_key(address, slot)).map_or(U256::ZERO, |bytes| word(&bytes))
}

/// This shard's fragment of a beneficiary's balance; zero where nothing was credited.
pub fn fees(read: &impl Read, beneficiary: Address) -> U256 {
    read.get(FEES, beneficiary.as_slice()).map_or(U256::ZERO, |bytes| word(&bytes))
}

/// The code with this hash, if an account of this shard has or had it.
pub fn code(read: &impl Read, hash: B256) -> Option<Vec<u8>> {
    read.get(CODES, &spaces::code_key(hash))
}

/// The canonical bytes that the ledger and the state tree hold for `key`: `None` for nothing there.
pub fn stored_value(read: &impl Read, key: StateKey) -> Option<Vec<u8>> {
    match key {
        StateKey::Account(address) => read.get(ACCOUNTS, &spaces::account_key(address)),
        StateKey::Slot(address, slot) => read.get(SLOTS, &spaces::slot_key(address, slot)),
        StateKey::Fees(key) => read.get(FEES, &spaces::fees_key(key)),
    }
}

/// An account out of this shard's store.
pub fn account_of(bytes: &[u8]) -> AccountState {
    own_value(ACCOUNTS, bytes)
}

/// A 32-byte value out of this shard's store.
pub fn word(bytes: &[u8]) -> U256 {
    U256::from_be_bytes(own_value::<[u8; 32]>(SLOTS, bytes))
}

/// A word as it is stored: zero is nothing.
pub(crate) fn word_bytes(value: U256) -> Option<Vec<u8>> {
    (!value.is_zero()).then(|| value.to_be_bytes::<32>().to_vec())
}

/// The state within one step, with all that the step has changed so far.
#[derive(Debug)]
pub(crate) struct Ledger<'a, R> {
    /// The store as the step sees it.
    pub(crate) staged: Staged<'a, R>,
    changed: BTreeMap<Vec<u8>, Vec<ValueAt>>,
}

impl<'a, R: Read> Ledger<'a, R> {
    /// The state as it was synced.
    pub(crate) fn new(read: &'a R) -> Self {
        Self { staged: Staged::new(read), changed: BTreeMap::new() }
    }

    /// Applies this shard's part of an execution's changes, which ran at `slot`.
    ///
    /// Once per attempt, and only with what this shard owns (I5): the caller sees to both.
    pub(crate) fn apply(&mut self, changes: &Changes, slot: Slot) {
        for (hash, code) in &changes.codes {
            self.staged.put(CODES, spaces::code_key(*hash), code.to_vec());
        }
        for (address, account) in &changes.accounts {
            self.set(StateKey::Account(*address), account.as_ref().map(encode), slot);
        }
        for address in &changes.wiped {
            self.wipe(*address, slot);
        }
        for ((address, index), value) in &changes.slots {
            self.set(StateKey::Slot(*address, *index), word_bytes(*value), slot);
        }
        for key in &changes.drained {
            self.set(StateKey::Fees(*key), None, slot);
        }
        for (key, value) in &changes.credits {
            let sum = fees(&self.staged, key.beneficiary).saturating_add(*value);
            self.set(StateKey::Fees(*key), word_bytes(sum), slot);
        }
    }

    /// What the step changed, in order of key; of each slot the last value. Empty: the state is as it was.
    pub(crate) fn take_changed(&mut self) -> BlockChanges {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    /// Sets `key` to what was stored of it before, on a network with cheats.
    pub(crate) fn put_back(&mut self, key: StateKey, value: Option<Vec<u8>>, slot: Slot) {
        self.set(key, value, slot);
    }

    fn set(&mut self, key: StateKey, value: Option<Vec<u8>>, slot: Slot) {
        let (space, stored): (_, Vec<u8>) = match key {
            StateKey::Account(address) => (ACCOUNTS, spaces::account_key(address).into()),
            StateKey::Slot(address, slot) => (SLOTS, spaces::slot_key(address, slot)),
            StateKey::Fees(key) => (FEES, spaces::fees_key(key).into()),
        };
        match &value {
            Some(bytes) => self.staged.put(space, stored, bytes.clone()),
            None => self.staged.delete(space, stored),
        }
        let values = self.changed.entry(encode(&key)).or_default();
        match values.last_mut() {
            Some(last) if last.slot == slot => last.value = value,
            _ => values.push(ValueAt { slot, value }),
        }
    }

    fn wipe(&mut self, address: Address, slot: Slot) {
        loop {
            let page = self.staged.scan(SLOTS, address.as_slice(), &[], WIPED_PAGE_COUNT);
            for (key, _) in &page {
                self.set(StateKey::Slot(address, U256::from_be_slice(&key[20..])), None, slot);
            }
            if page.len() < WIPED_PAGE_COUNT {
                return;
            }
        }
    }
}

/// What an execution on this shard can see: its own keys, and nothing else.
#[derive(Debug)]
pub(crate) struct OwnView<'a, R> {
    /// The store as the step sees it.
    pub(crate) read: &'a R,
    /// Who owns what.
    pub(crate) placement: &'a Placement,
    /// This shard.
    pub(crate) me: ShardId,
    /// Codes analysed before.
    pub(crate) codes: &'a evm::CodeCache,
    /// Whether there are keys that are not read from another chain yet.
    pub(crate) forked: bool,
}

impl<R: Read> OwnView<'_, R> {
    fn is_known(&self, key: StateKey) -> bool {
        self.placement.owner(key) == self.me && (!self.forked || base::read_at(self.read, key).is_some())
    }
}

impl<R: Read> View for OwnView<'_, R> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        if self.is_known(StateKey::Account(address)) {
            Lookup::Known(account(self.read, address))
        } else {
            Lookup::Unknown
        }
    }

    fn slot(&self, address: Address, index: U256) -> Lookup<U256> {
        let key = StateKey::Slot(address, index);
        if self.is_known(key) { Lookup::Known(slot(self.read, address, index)) } else { Lookup::Unknown }
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        if key.shard == self.me { Lookup::Known(fees(self.read, key.beneficiary)) } else { Lookup::Unknown }
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        if let Some(code) = self.codes.get(hash) {
            return Lookup::Known(code);
        }
        let stored = code(self.read, hash).and_then(|bytes| self.codes.code(hash, &bytes.into()).ok());
        stored.map_or(Lookup::Unknown, Lookup::Known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Memory;

    const ALICE: Address = Address::repeat_byte(0xa1);
    const SLOT: Slot = Slot(7);

    fn changes(slots: &[(u64, u64)]) -> Changes {
        Changes {
            accounts: [(ALICE, Some(AccountState::with_balance(U256::from(5))))].into(),
            slots: slots.iter().map(|(slot, value)| ((ALICE, U256::from(*slot)), U256::from(*value))).collect(),
            ..Changes::default()
        }
    }

    #[test]
    fn what_was_applied_is_read_back_in_the_same_step() {
        let store = Memory::default();
        let mut ledger = Ledger::new(&store);
        ledger.apply(&changes(&[(1, 10)]), SLOT);
        assert_eq!(account(&ledger.staged, ALICE), Some(AccountState::with_balance(U256::from(5))));
        assert_eq!(slot(&ledger.staged, ALICE, U256::from(1)), U256::from(10));
        assert_eq!(ledger.take_changed().len(), 2);
    }

    #[test]
    fn a_zeroed_slot_takes_no_space() {
        let mut store = Memory::default();
        let mut ledger = Ledger::new(&store);
        ledger.apply(&changes(&[(1, 10)]), SLOT);
        ledger.apply(&changes(&[(1, 0)]), SLOT);
        let writes = ledger.staged.into_writes();
        store.commit(&writes);
        assert_eq!(store.count(SLOTS), 0);
    }

    #[test]
    fn wiping_an_account_removes_its_slots_and_no_others() {
        let mut store = Memory::default();
        let mut ledger = Ledger::new(&store);
        ledger.apply(&changes(&[(1, 10), (2, 20)]), SLOT);
        let bob = Address::repeat_byte(0xa2);
        ledger.apply(&Changes { slots: [((bob, U256::from(1)), U256::from(7))].into(), ..Changes::default() }, SLOT);
        ledger.apply(&Changes { wiped: [ALICE].into(), ..changes(&[(3, 30)]) }, SLOT);
        let writes = ledger.staged.into_writes();
        store.commit(&writes);
        assert_eq!(store.count(SLOTS), 2);
        assert_eq!(slot(&store, ALICE, U256::from(3)), U256::from(30));
        assert_eq!(slot(&store, bob, U256::from(1)), U256::from(7));
    }

    #[test]
    fn credits_add_up() {
        let store = Memory::default();
        let mut ledger = Ledger::new(&store);
        let key = FeesKey { shard: ShardId(0), beneficiary: ALICE };
        let credit = Changes { credits: [(key, U256::from(4))].into(), ..Changes::default() };
        ledger.apply(&credit, SLOT);
        ledger.apply(&credit, SLOT);
        assert_eq!(fees(&ledger.staged, ALICE), U256::from(8));
        ledger.apply(&Changes { drained: [key].into(), ..Changes::default() }, SLOT);
        assert_eq!(fees(&ledger.staged, ALICE), U256::ZERO);
    }
}
