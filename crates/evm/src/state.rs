//! A state in memory: what one shard holds, or what all of them hold together.
//!
//! For tests, for the oracle (I9) and for genesis; a shard's own state lives in its store and applies the same changes.

use crate::code::checked;
use crate::{AccountState, Bytecode, Changes, Data, FeesKey, Lookup, Placement, StateKey, View, WrongCode};
use alloy_primitives::{Address, B256, U256};
use primitives::ShardId;
use std::collections::BTreeMap;

/// Two states that say different things about one account, slot or fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two shards both hold {0}")]
pub struct Overlap(pub StateKey);

/// Accounts, slots, fragments of fees, codes. Zero slots and zero fragments are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Accounts that exist.
    pub accounts: BTreeMap<Address, AccountState>,
    /// Slots that are not zero.
    pub slots: BTreeMap<(Address, U256), U256>,
    /// Fragments that are not zero, wei.
    pub fees: BTreeMap<FeesKey, U256>,
    /// Codes by keccak256.
    pub codes: BTreeMap<B256, Bytecode>,
}

impl State {
    /// Sets a slot; zero removes it.
    pub fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        set(&mut self.slots, (address, slot), value);
    }

    /// Takes over `changes`, all of which must be this state's to make.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), WrongCode> {
        for (hash, bytes) in &changes.codes {
            self.codes.insert(*hash, checked(*hash, bytes)?);
        }
        for (address, account) in &changes.accounts {
            match account {
                Some(account) => self.accounts.insert(*address, *account),
                None => self.accounts.remove(address),
            };
        }
        for address in &changes.wiped {
            self.wipe(*address);
        }
        for ((address, slot), value) in &changes.slots {
            self.set_slot(*address, *slot, *value);
        }
        for key in &changes.drained {
            self.fees.remove(key);
        }
        for (key, credit) in &changes.credits {
            let value = self.fees.get(key).copied().unwrap_or_default();
            set(&mut self.fees, *key, value.saturating_add(*credit));
        }
        Ok(())
    }

    /// Adds a code that belongs to an account of this state.
    pub fn add_code(&mut self, hash: B256, bytes: &Data) -> Result<(), WrongCode> {
        self.codes.insert(hash, checked(hash, bytes)?);
        Ok(())
    }

    /// The part of this state that `shard` owns, with the codes of its accounts.
    #[must_use]
    pub fn part(&self, shard: ShardId, placement: &Placement) -> Self {
        let owned = |address: &Address| placement.shard_of(*address) == shard;
        let accounts = self.accounts.iter().filter(|(address, _)| owned(address));
        let accounts: BTreeMap<Address, AccountState> =
            accounts.map(|(address, account)| (*address, *account)).collect();
        let slots = self.slots.iter().filter(|((address, _), _)| owned(address));
        let fees = self.fees.iter().filter(|(key, _)| key.shard == shard);
        let codes = accounts.values().filter_map(|account| self.codes.get_key_value(&account.code_hash));
        Self {
            slots: slots.map(|(key, value)| (*key, *value)).collect(),
            fees: fees.map(|(key, wei)| (*key, *wei)).collect(),
            codes: codes.map(|(hash, code)| (*hash, code.clone())).collect(),
            accounts,
        }
    }

    /// The state of all shards together; no two may hold one key.
    pub fn union<'a>(states: impl IntoIterator<Item = &'a Self>) -> Result<Self, Overlap> {
        let mut all = Self::default();
        for state in states {
            merge(&mut all.accounts, &state.accounts).map_err(|key| Overlap(StateKey::Account(key)))?;
            merge(&mut all.slots, &state.slots).map_err(|(address, slot)| Overlap(StateKey::Slot(address, slot)))?;
            merge(&mut all.fees, &state.fees).map_err(|key| Overlap(StateKey::Fees(key)))?;
            all.codes.extend(state.codes.iter().map(|(hash, code)| (*hash, code.clone())));
        }
        Ok(all)
    }

    /// This state with every fragment of fees in its account, as an unsharded EVM would have it.
    #[must_use]
    pub fn settled(mut self) -> Self {
        for (key, wei) in std::mem::take(&mut self.fees) {
            let account = self.accounts.entry(key.beneficiary).or_insert(AccountState::EMPTY);
            account.balance = account.balance.saturating_add(wei);
        }
        self
    }

    fn wipe(&mut self, address: Address) {
        let slots = (address, U256::ZERO)..=(address, U256::MAX);
        let written: Vec<_> = self.slots.range(slots).map(|(key, _)| *key).collect();
        for key in written {
            self.slots.remove(&key);
        }
    }
}

fn set<K: Ord>(map: &mut BTreeMap<K, U256>, key: K, value: U256) {
    if value.is_zero() {
        map.remove(&key);
    } else {
        map.insert(key, value);
    }
}

fn merge<K: Ord + Copy, V: Copy>(all: &mut BTreeMap<K, V>, more: &BTreeMap<K, V>) -> Result<(), K> {
    for (key, value) in more {
        if all.insert(*key, *value).is_some() {
            return Err(*key);
        }
    }
    Ok(())
}

impl View for State {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        Lookup::Known(self.accounts.get(&address).copied())
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        Lookup::Known(self.slots.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        Lookup::Known(self.fees.get(&key).copied().unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        self.codes.get(&hash).cloned().map_or(Lookup::Unknown, Lookup::Known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address::repeat_byte(1);

    fn key(shard: u32) -> FeesKey {
        FeesKey { shard: ShardId(shard), beneficiary: ADDRESS }
    }

    fn state() -> State {
        let mut state = State::default();
        for byte in 0..32 {
            let address = Address::repeat_byte(byte);
            state.accounts.insert(address, AccountState::with_balance(U256::from(byte)));
            state.set_slot(address, U256::from(byte), U256::from(7));
        }
        state.fees.extend([(key(0), U256::from(5)), (key(3), U256::from(6))]);
        state
    }

    #[test]
    fn the_union_of_all_parts_is_the_whole() {
        let placement = Placement::new(1, 4, BTreeMap::new()).expect("a placement");
        let parts: Vec<State> = placement.shards().map(|shard| state().part(shard, &placement)).collect();
        assert!(parts.iter().all(|part| !part.accounts.is_empty()));
        assert_eq!(State::union(&parts), Ok(state()));
    }

    #[test]
    fn two_shards_that_hold_one_account_have_no_union() {
        assert!(matches!(State::union([&state(), &state()]), Err(Overlap(StateKey::Account(_)))));
    }

    #[test]
    fn settling_adds_every_fragment_to_its_account() {
        let settled = state().settled();
        assert!(settled.fees.is_empty());
        assert_eq!(settled.accounts[&ADDRESS].balance, U256::from(1 + 5 + 6));
    }

    #[test]
    fn changes_apply_in_the_order_of_their_fields() {
        let mut state = state();
        let changes = Changes {
            wiped: [ADDRESS].into(),
            slots: [((ADDRESS, U256::ZERO), U256::from(9))].into(),
            drained: [key(0)].into(),
            credits: [(key(3), U256::from(1))].into(),
            ..Changes::default()
        };
        state.apply(&changes).expect("no codes");
        assert_eq!(state.slot(ADDRESS, U256::from(1)), Lookup::Known(U256::ZERO));
        assert_eq!(state.slot(ADDRESS, U256::ZERO), Lookup::Known(U256::from(9)));
        assert_eq!(state.fees, [(key(3), U256::from(7))].into());
    }

    #[test]
    fn a_code_under_a_wrong_hash_is_not_applied() {
        let codes = [(B256::ZERO, Data::from(vec![1]))].into();
        let changes = Changes { codes, ..Changes::default() };
        assert_eq!(state().apply(&changes), Err(WrongCode { hash: B256::ZERO }));
    }
}
