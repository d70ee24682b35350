//! The result of a run, and how it splits by owner.

use crate::payload::bind;
use crate::{Changes, Effects, LockMode, Placement, StateKey, Witness};
use alloy_primitives::Address;
use primitives::{Digest, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// Which shard owns each account that a run read, so that no address is placed twice.
pub(crate) type Owners = BTreeMap<Address, ShardId>;

/// A run's witness and effects, and which shards it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The digest of the payload that ran.
    pub payload: Digest,
    /// Every value read.
    pub witness: Witness,
    /// Everything done.
    pub effects: Effects,
    /// The shards that own a value read or written, and the homes.
    pub participants: BTreeSet<ShardId>,
    /// The senders' shards, where fees are reserved first (R11); the first participant where nobody signed.
    pub homes: BTreeSet<ShardId>,
    owners: Owners,
}

impl Executed {
    /// A run that read the accounts of `owners`.
    pub(crate) fn new(
        payload: Digest,
        (witness, effects): (Witness, Effects),
        senders: impl Iterator<Item = Address>,
        owners: Owners,
    ) -> Self {
        // A slot is never read or written but its account is read, so accounts and fees name all owners.
        debug_assert!(witness.accounts.keys().eq(owners.keys()));
        debug_assert!(effects.changes.keys().all(|(key, _)| is_covered(key, &witness, &effects.changes)));
        let mut homes: BTreeSet<ShardId> = senders.filter_map(|sender| owners.get(&sender).copied()).collect();
        let fees = witness.fees.keys().chain(effects.changes.credits.keys()).map(|key| key.shard);
        let participants: BTreeSet<ShardId> = owners.values().copied().chain(fees).collect();
        if homes.is_empty() {
            homes.extend(participants.first());
        }
        Self { payload, witness, effects, participants, homes, owners }
    }

    /// The digest that an attempt binds (R3): payload, witness and effects.
    pub fn digest(&self) -> Digest {
        bind(self.payload, self.witness.digest(), self.effects.digest())
    }

    /// Gas that all its transactions were charged.
    pub fn gas(&self) -> u64 {
        self.effects.outcomes.iter().map(|outcome| outcome.gas_used).sum()
    }

    /// What concerns `shard`: its values as they were read, its changes, its locks. The placement is the one it ran under.
    pub fn slice(&self, shard: ShardId, placement: &Placement) -> Slice {
        let first = self.owners.first_key_value();
        debug_assert!(first.is_none_or(|(address, owner)| placement.shard_of(*address) == *owner));
        let is_own = |key: StateKey| match key {
            StateKey::Account(address) | StateKey::Slot(address, _) => self.owners.get(&address) == Some(&shard),
            StateKey::Fees(fees) => fees.shard == shard,
        };
        let (witness, changes) = (self.witness.part(is_own), self.effects.changes.part(is_own));
        Slice { shard, locks: locks(&witness, &changes), witness, changes }
    }
}

fn is_covered(key: StateKey, witness: &Witness, changes: &Changes) -> bool {
    match key {
        StateKey::Account(address) | StateKey::Slot(address, _) => witness.accounts.contains_key(&address),
        StateKey::Fees(fees) => witness.fees.contains_key(&fees) || changes.credits.contains_key(&fees),
    }
}

/// One shard's part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Whose part.
    pub shard: ShardId,
    /// Its values as they were read, without codes: current if and only if its state says the same.
    pub witness: Witness,
    /// Its changes.
    pub changes: Changes,
    /// What it locks from a yes vote to the decision (R6).
    pub locks: BTreeMap<StateKey, LockMode>,
}

fn locks(witness: &Witness, changes: &Changes) -> BTreeMap<StateKey, LockMode> {
    let mut locks: BTreeMap<StateKey, LockMode> = witness.keys().map(|key| (key, LockMode::Shared)).collect();
    for (key, mode) in changes.keys() {
        // Read and credited is as good as written: another's credit would make the read stale.
        locks.entry(key).and_modify(|held| *held = LockMode::Exclusive).or_insert(mode);
    }
    locks
}
