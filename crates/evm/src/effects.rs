//! Everything an execution did: what it changed, and what became of each transaction.

use crate::witness::part;
use crate::{AccountState, Data, FeesKey, LockMode, StateKey};
use alloy_primitives::{Address, B256, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Domain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static DOMAIN: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 effects"));

/// Changes of state, as absolute new values, except for credits.
///
/// They apply in the order of the fields: accounts, wiped storage, slots, drained fees, credits. A key that keeps the
/// value it had is not in here; no fragment is both drained and credited.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Changes {
    /// Accounts as they are now; `None` where none exists any more.
    pub accounts: BTreeMap<Address, Option<AccountState>>,
    /// Accounts that lost their whole storage before `slots` were written.
    pub wiped: BTreeSet<Address>,
    /// Storage slots as they are now; zero is nothing.
    pub slots: BTreeMap<(Address, U256), U256>,
    /// Fragments of fees that are now zero: their wei went into the account.
    pub drained: BTreeSet<FeesKey>,
    /// Wei to add to fragments of fees, whatever they hold.
    pub credits: BTreeMap<FeesKey, U256>,
    /// The codes of changed accounts that were deployed here, by keccak256.
    pub codes: BTreeMap<B256, Data>,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// The keys written, each with the mode it is held in.
    pub fn keys(&self) -> impl Iterator<Item = (StateKey, LockMode)> + '_ {
        let accounts = self.accounts.keys().chain(&self.wiped).map(|address| StateKey::Account(*address));
        let slots = self.slots.keys().map(|(address, slot)| StateKey::Slot(*address, *slot));
        let drained = self.drained.iter().map(|key| StateKey::Fees(*key));
        let exclusive = accounts.chain(slots).chain(drained).map(|key| (key, LockMode::Exclusive));
        exclusive.chain(self.credits.keys().map(|key| (StateKey::Fees(*key), LockMode::Credit)))
    }

    /// The part whose keys `is_own` accepts, with the codes its accounts need.
    #[must_use]
    pub fn part(&self, is_own: impl Fn(StateKey) -> bool) -> Self {
        let accounts = part(&self.accounts, |address| is_own(StateKey::Account(*address)));
        let hashes: BTreeSet<B256> = accounts.values().flatten().map(|account| account.code_hash).collect();
        Self {
            codes: part(&self.codes, |hash| hashes.contains(hash)),
            accounts,
            wiped: self.wiped.iter().copied().filter(|address| is_own(StateKey::Account(*address))).collect(),
            slots: part(&self.slots, |(address, slot)| is_own(StateKey::Slot(*address, *slot))),
            drained: self.drained.iter().copied().filter(|key| is_own(StateKey::Fees(*key))).collect(),
            credits: part(&self.credits, |key| is_own(StateKey::Fees(*key))),
        }
    }
}

/// How a transaction ended. All three are commits: nonce and gas are spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Status {
    /// It returned, stopped or destroyed itself.
    Success,
    /// It reverted; the output is the reason.
    Reverted,
    /// It ran out of gas or broke a rule of the EVM.
    Halted,
}

/// A log, as LOG0 to LOG4 write it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Log {
    /// The contract that wrote it.
    pub address: Address,
    /// Up to four topics.
    pub topics: Vec<B256>,
    /// The rest.
    pub data: Data,
}

impl From<alloy_primitives::Log> for Log {
    fn from(log: alloy_primitives::Log) -> Self {
        let (topics, data) = log.data.split();
        Self { address: log.address, topics, data: data.into() }
    }
}

impl From<Log> for alloy_primitives::Log {
    fn from(log: Log) -> Self {
        Self::new_unchecked(log.address, log.topics, log.data.into())
    }
}

/// What became of one transaction of a payload: an EVM receipt.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Outcome {
    /// keccak256 of the signed bytes; `None` for a system transaction.
    pub transaction: Option<B256>,
    /// EIP-2718 type; 0 for legacy and system transactions.
    pub kind: u8,
    /// How it ended.
    pub status: Status,
    /// Gas paid for, refunds taken off.
    pub gas_used: u64,
    /// Wei per gas paid, base fee included; 0 for a system transaction.
    pub gas_price: u128,
    /// Return data, reason of the revert, or the code of the created contract.
    pub output: Data,
    /// In order; none unless it succeeded.
    pub logs: Vec<Log>,
    /// The contract that a creating transaction created.
    pub created: Option<Address>,
}

/// Everything an execution did.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Effects {
    /// What changed, on all shards.
    pub changes: Changes,
    /// One per transaction of the payload, in order.
    pub outcomes: Vec<Outcome>,
}

impl Effects {
    /// The digest that all participants must come to.
    pub fn digest(&self) -> Digest {
        DOMAIN.hash_of(self)
    }
}
