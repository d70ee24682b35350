//! What a forked network has from the chain it was forked from: values of one block of it, taken in when they are first needed.
//!
//!   a key that is not read --> the host asks the other chain, outside the step --> `Input::Base` --> as if genesis had had it
//!
//! Promise: a value is taken once, as of slot 0, so that it is in the state after every slot, whenever it came; it never overwrites
//! what a transaction wrote; a key that is not read is named, never zero. In a network that was not forked every key is read.
//! Knows nothing of the other chain, and of how it is asked.

use crate::blocks::Entry;
use crate::input::{Answer, BaseRefusal, Busy};
use crate::shard::Work;
use crate::spaces::{self, BASE, FORKED, META};
use crate::staged::{Staged, get_value};
use alloy_primitives::{Address, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{AccountState, Changes, Data, StateKey};
use primitives::{Domain, Height, Read, Slot};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Most values that one input brings.
pub const BASE_VALUES_COUNT_MAX: usize = 1024;

static VALUES: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 values of a forked chain"));

/// A value that the forked chain has at its block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum BaseValue {
    /// An account; one that does not exist has nothing of all three.
    Account {
        /// Whose.
        address: Address,
        /// Transactions sent.
        nonce: u64,
        /// Wei.
        balance: U256,
        /// Its code.
        code: Data,
    },
    /// A storage slot.
    Slot {
        /// Whose.
        address: Address,
        /// Which.
        slot: U256,
        /// What is in it.
        value: U256,
    },
}

impl BaseValue {
    /// Whose value it is.
    pub fn key(&self) -> StateKey {
        match self {
            Self::Account { address, .. } => StateKey::Account(*address),
            Self::Slot { address, slot, .. } => StateKey::Slot(*address, *slot),
        }
    }

    fn is_account(&self) -> bool {
        matches!(self, Self::Account { .. })
    }
}

/// Says that a key is read.
#[derive(Debug, Clone, Copy, BorshSerialize, BorshDeserialize)]
struct Mark {
    /// The block that took it; 0 for genesis.
    height: Height,
    /// Of an account: nothing was in its storage there, so that all its slots are read. A contract has nonce 1 at least
    /// (EIP-161), and so has whoever ever delegated to one (EIP-7702).
    bare: bool,
}

/// Whether the network was forked from another chain.
pub(crate) fn is_forked(read: &impl Read) -> bool {
    read.get(META, FORKED).is_some()
}

/// In a forked network, the block that took the value of an own key; `None` if it is not read.
pub fn read_at(read: &impl Read, key: StateKey) -> Option<Height> {
    let own = || mark(read, key).map(|mark| mark.height);
    match key {
        StateKey::Fees(_) => Some(Height(0)), // Fragments are this network's own.
        StateKey::Account(_) => own(),
        StateKey::Slot(address, _) => match mark(read, StateKey::Account(address)) {
            Some(Mark { height, bare: true }) => Some(height),
            _ => own(),
        },
    }
}

/// What has to be read, and in which order does not matter, before all own `keys` are; nothing in a network that was not forked.
pub fn unread(read: &impl Read, keys: impl IntoIterator<Item = StateKey>) -> BTreeSet<StateKey> {
    if !is_forked(read) {
        return BTreeSet::new();
    }
    let mut unread = BTreeSet::new();
    for key in keys.into_iter().filter(|key| read_at(read, *key).is_none()) {
        unread.insert(key);
        if let StateKey::Slot(address, _) = key {
            unread.extend(Some(StateKey::Account(address)).filter(|account| read_at(read, *account).is_none()));
        }
    }
    unread
}

fn mark(read: &impl Read, key: StateKey) -> Option<Mark> {
    get_value(read, BASE, &spaces::base_key(&key))
}

/// Makes a new store one of a forked network: what its genesis has is read, storage included.
pub(crate) fn stage_genesis<'k, R: Read>(staged: &mut Staged<'_, R>, accounts: impl Iterator<Item = &'k Address>) {
    staged.put(META, FORKED, Vec::new());
    for address in accounts {
        let mark = Mark { height: Height(0), bare: true };
        staged.put_value(BASE, spaces::base_key(&StateKey::Account(*address)), &mark);
    }
}

impl<R: Read> Work<'_, '_, R> {
    /// Takes values of the forked chain; those of keys that are read already change nothing.
    pub(crate) fn take_base(&mut self, values: Vec<BaseValue>) -> Result<Answer, BaseRefusal> {
        self.check_base(&values)?;
        let (accounts, slots): (Vec<_>, Vec<_>) = values.into_iter().partition(BaseValue::is_account);
        let mut taken = Vec::new();
        for value in accounts.into_iter().chain(slots) {
            if read_at(&self.ledger.staged, value.key()).is_none() {
                self.take_value(&value)?;
                taken.push(value);
            }
        }
        if !taken.is_empty() {
            self.draft.push_entry(Entry::Based { values: VALUES.hash_of(&taken) });
        }
        Ok(Answer::BaseTaken)
    }

    fn check_base(&self, values: &[BaseValue]) -> Result<(), BaseRefusal> {
        let shard = &*self.shard;
        if !shard.forked {
            return Err(BaseRefusal::NotForked);
        }
        if values.len() > BASE_VALUES_COUNT_MAX {
            return Err(BaseRefusal::TooMany { actual: values.len() });
        }
        match values.iter().map(BaseValue::key).find(|key| shard.placement.owner(*key) != shard.me) {
            Some(key) => Err(BaseRefusal::Foreign { key }),
            None => Ok(shard.check_lag()?),
        }
    }

    fn take_value(&mut self, value: &BaseValue) -> Result<(), BaseRefusal> {
        let (mut changes, mut bare) = (Changes::default(), false);
        match value {
            BaseValue::Account { address, nonce, balance, code } => {
                let code_hash = if code.is_empty() { AccountState::EMPTY.code_hash } else { keccak256(&**code) };
                let state = AccountState { nonce: *nonce, balance: *balance, code_hash };
                bare = *nonce == 0 && code.is_empty();
                if !code.is_empty() {
                    changes.codes.insert(code_hash, code.clone());
                }
                if !state.is_empty() {
                    changes.accounts.insert(*address, Some(state));
                }
            }
            BaseValue::Slot { address, slot, value } => {
                if read_at(&self.ledger.staged, StateKey::Account(*address)).is_none() {
                    return Err(BaseRefusal::NoAccount { address: *address });
                }
                if !value.is_zero() {
                    changes.slots.insert((*address, *slot), *value);
                }
            }
        }
        let mark = Mark { height: self.draft.height(), bare };
        self.ledger.staged.put_value(BASE, spaces::base_key(&value.key()), &mark);
        self.ledger.apply(&changes, Slot(0));
        Ok(())
    }

    /// Refuses what needs own keys that are not read.
    pub(crate) fn check_read(&self, keys: impl IntoIterator<Item = StateKey>) -> Result<(), Busy> {
        let shard = &*self.shard;
        if !shard.forked {
            return Ok(());
        }
        let own = keys.into_iter().filter(|key| shard.placement.owner(*key) == shard.me);
        match { own }.find(|key| read_at(&self.ledger.staged, *key).is_none()) {
            Some(key) => Err(Busy::NotRead { key }),
            None => Ok(()),
        }
    }
}
