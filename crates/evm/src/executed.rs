//! The result of a run, and how it splits by owner.

use crate::payload::bind;
use crate::{Changes, Effects, LockMode, Placement, StateKey, Witness};
use alloy_primitives::Address;
use primitives::{Digest, ShardId};
use std::collections::{BTreeMap, BTreeSet};

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
}

impl Executed {
    pub(crate) fn new(
        payload: Digest,
        witness: Witness,
        effects: Effects,
        senders: impl Iterator<Item = Address>,
        placement: &Placement,
    ) -> Self {
        let mut homes: BTreeSet<ShardId> = senders.map(|sender| placement.shard_of(sender)).collect();
        let changes = &effects.changes;
        // A slot is never read or written but its account is read, so accounts and fees name all owners.
        let accounts = witness.accounts.keys().map(|address| placement.shard_of(*address));
        let fees = witness.fees.keys().chain(changes.credits.keys()).map(|key| key.shard);
        let participants: BTreeSet<ShardId> = accounts.chain(fees).chain(homes.iter().copied()).collect();
        if homes.is_empty() {
            homes.extend(participants.first());
        }
        debug_assert!(witness.keys().all(|key| participants.contains(&placement.owner(key))));
        debug_assert!(changes.keys().all(|(key, _)| participants.contains(&placement.owner(key))));
        Self { payload, witness, effects, participants, homes }
    }

    /// The digest that an attempt binds (R3): payload, witness and effects.
    pub fn digest(&self) -> Digest {
        bind(self.payload, self.witness.digest(), self.effects.digest())
    }

    /// What concerns `shard`: its values as they were read, its changes, its locks.
    pub fn slice(&self, shard: ShardId, placement: &Placement) -> Slice {
        let own: BTreeSet<Address> =
            self.witness.accounts.keys().copied().filter(|address| placement.shard_of(*address) == shard).collect();
        let is_own = |key: StateKey| match key {
            StateKey::Account(address) | StateKey::Slot(address, _) => own.contains(&address),
            StateKey::Fees(fees) => fees.shard == shard,
        };
        let (witness, changes) = (self.witness.part(is_own), self.effects.changes.part(is_own));
        Slice { shard, locks: locks(&witness, &changes), witness, changes }
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
