//! Every value an execution read, before it wrote any.

use crate::{AccountState, Data, FeesKey, StateKey};
use alloy_primitives::{Address, B256, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Domain};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The most bytes a witness may have, codes included.
pub const WITNESS_BYTES_MAX: usize = 16 << 20;

static DOMAIN: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 witness"));

/// Every value an execution read, by key, as it was before the execution.
///
/// A value belongs to the shard that owns its key, and only that shard's yes vote makes it true. Codes belong to nobody:
/// they are checked against their hash, which an owner has vouched for as part of an account. Of an account that was used
/// for nothing but a code which can never change, the code's hash alone is here; whoever replays asks for a proof of it
/// instead of its owner's vote.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Witness {
    /// Accounts; `None` where none exists.
    pub accounts: BTreeMap<Address, Option<AccountState>>,
    /// Storage slots by account and slot.
    pub slots: BTreeMap<(Address, U256), U256>,
    /// Fragments of fees, wei.
    pub fees: BTreeMap<FeesKey, U256>,
    /// Accounts of which only the code was used, where nothing can change it: keccak256 of that code.
    pub fixed: BTreeMap<Address, B256>,
    /// The codes that ran or were measured, by keccak256.
    pub codes: BTreeMap<B256, Data>,
}

impl Witness {
    /// The digest of every value; of a code its hash stands for its bytes.
    pub fn digest(&self) -> Digest {
        let codes: Vec<&B256> = self.codes.keys().collect();
        DOMAIN.hash_of(&(&self.accounts, &self.slots, &self.fees, &self.fixed, codes))
    }

    /// How many bytes the values have, codes included: near enough to the encoding's for a bound.
    pub fn bytes_count(&self) -> usize {
        let codes: usize = self.codes.values().map(|code| 36 + code.0.len()).sum();
        self.accounts.len() * 93 + self.slots.len() * 84 + self.fees.len() * 56 + self.fixed.len() * 52 + codes
    }

    /// The keys read, in order: those that an owner has to vouch for and to lock.
    pub fn keys(&self) -> impl Iterator<Item = StateKey> + '_ {
        let accounts = self.accounts.keys().map(|address| StateKey::Account(*address));
        let slots = self.slots.keys().map(|(address, slot)| StateKey::Slot(*address, *slot));
        accounts.chain(slots).chain(self.fees.keys().map(|key| StateKey::Fees(*key)))
    }

    /// The part whose keys `is_own` accepts, without codes and without what no vote is needed for.
    #[must_use]
    pub fn part(&self, is_own: impl Fn(StateKey) -> bool) -> Self {
        Self {
            accounts: part(&self.accounts, |address| is_own(StateKey::Account(*address))),
            slots: part(&self.slots, |(address, slot)| is_own(StateKey::Slot(*address, *slot))),
            fees: part(&self.fees, |key| is_own(StateKey::Fees(*key))),
            fixed: BTreeMap::new(),
            codes: BTreeMap::new(),
        }
    }
}

/// The entries of `map` whose key is accepted.
pub(crate) fn part<K: Ord + Copy, V: Clone>(map: &BTreeMap<K, V>, is_own: impl Fn(&K) -> bool) -> BTreeMap<K, V> {
    map.iter().filter(|(key, _)| is_own(key)).map(|(key, value)| (*key, value.clone())).collect()
}
