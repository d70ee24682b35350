//! What a run's transactions read and wrote, for the search for an order of them.
//!
//! ```text
//!   a prepare reaches a shard ──> its slice: what the witness says was read, what the effects write
//!   a batch logs an attempt ────> that slice, at its place in the log
//!   a batch logs anything else ─> its locks: it read and wrote there and then; the values are read from the store later
//! ```
//!
//! A client's own order needs no edges here: each of its transactions writes the account that it signs with.

use super::serializable::{self, Access, Anomaly, Change, History, Reading, Transaction, Value};
use crate::plan::Watch;
use crate::world::World;
use alloy_primitives::U256;
use evm::{Environment, Environments, LockMode, Slice, StateKey};
use primitives::{AttemptId, ShardId, encode};
use shard::{Applied, Cause, Prepare, queries};
use std::collections::BTreeMap;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What attempts do on a shard if they commit.
    slices: BTreeMap<(ShardId, AttemptId), Access>,
    logs: BTreeMap<ShardId, Vec<Access>>,
    /// Keys of a shard that were written last by the log's entry of that place, and are not yet read back.
    unread: BTreeMap<ShardId, BTreeMap<StateKey, usize>>,
    /// At which slot each transaction ran, as its homes say.
    slots: BTreeMap<Transaction, u64>,
}

impl World {
    /// Keeps what an attempt would read and write on a shard that is asked to vote on it.
    pub(crate) fn watch_prepare(&mut self, shard: ShardId, prepare: &Prepare) {
        if self.plan.checks == Watch::Nothing {
            return;
        }
        let id = prepare.descriptor.id();
        let slices = &mut self.watch.seen.slices;
        if let std::collections::btree_map::Entry::Vacant(open) = slices.entry((shard, id)) {
            open.insert(of_slice(id, &prepare.executed.slice(shard, &self.plan.placement)));
        }
    }

    /// Keeps what a shard has applied.
    pub(crate) fn watch_access(&mut self, shard: ShardId, applied: &Applied) {
        let environments = self.plan.params.environments;
        let seen = &mut self.watch.seen;
        let place = seen.logs.get(&shard).map_or(0, Vec::len);
        let slot = applied.payload.as_ref().and_then(|payload| slot_of(environments, &payload.environment));
        seen.slots.extend(slot.map(|slot| (named(applied.cause, shard, place), slot)));
        let access = match applied.cause {
            Cause::Attempt(id) => seen.slices.get(&(shard, id)).cloned(),
            _ => None,
        };
        let access = access.unwrap_or_else(|| of_locks(named(applied.cause, shard, place), &applied.locks));
        let unread = seen.unread.entry(shard).or_default();
        for (key, change) in &access.changes {
            unread.remove(key);
            if *change == Change::Unseen {
                unread.insert(*key, place);
            }
        }
        seen.logs.entry(shard).or_default().push(access);
    }

    /// Reads back what the batches before this one wrote: their last writers' values are in the store now.
    pub(crate) fn read_back(&mut self, shard: ShardId) {
        let store = &self.shards[shard.0 as usize].node.store;
        let Some(log) = self.watch.seen.logs.get_mut(&shard) else { return };
        for (key, place) in self.watch.seen.unread.remove(&shard).into_iter().flatten() {
            log[place].changes.insert(key, Change::Value(queries::stored_value(store, key)));
        }
    }

    /// R6, I20: the transactions that were committed have an order, and slots never decrease in it.
    pub(crate) fn check_order(&mut self) {
        let shards: Vec<ShardId> = self.watch.seen.logs.keys().copied().collect();
        for shard in shards {
            self.read_back(shard);
        }
        let logs = std::mem::take(&mut self.watch.seen.logs);
        let slots = self.watch.seen.slots.clone();
        let history = History { first: self.first_values(), logs, sessions: Vec::new(), slots };
        for anomaly in serializable::anomalies(&history) {
            let broken = if matches!(anomaly, Anomaly::Backwards { .. }) { "I20" } else { "R6" };
            self.watch.violation(broken, anomaly.to_string());
        }
        self.watch.seen.logs = history.logs;
    }

    fn first_values(&self) -> BTreeMap<StateKey, Vec<u8>> {
        let state = super::oracle::genesis_state(&self.plan.genesis);
        let accounts = state.accounts.iter().map(|(address, account)| (StateKey::Account(*address), encode(account)));
        let slots = state
            .slots
            .iter()
            .filter_map(|((address, slot), word)| Some((StateKey::Slot(*address, *slot), of_word(*word)?)));
        accounts.chain(slots).collect()
    }
}

fn named(cause: Cause, shard: ShardId, place: usize) -> Transaction {
    match cause {
        Cause::Attempt(_) => Transaction::Attempt(cause),
        _ => Transaction::Own { shard, place },
    }
}

/// What a payload's transactions saw as NUMBER. A replayed block's is another chain's: there slots of the network say nothing.
fn slot_of(environments: Environments, environment: &Environment) -> Option<u64> {
    match (environments, environment) {
        (Environments::Slots, Environment::Slot(slot)) => Some(slot.0),
        (Environments::Replay, Environment::Block(block)) => Some(block.number),
        _ => None,
    }
}

/// A slot's or a fragment's value as it is stored: zero is nothing.
fn of_word(word: U256) -> Value {
    (!word.is_zero()).then(|| word.to_be_bytes::<32>().to_vec())
}

fn of_slice(id: AttemptId, slice: &Slice) -> Access {
    let (witness, changes) = (&slice.witness, &slice.changes);
    let account = |account: &Option<evm::AccountState>| account.as_ref().map(encode);
    let read = |value: Value| Reading::Value(value);
    let mut reads: BTreeMap<StateKey, Reading> = BTreeMap::new();
    reads.extend(witness.accounts.iter().map(|(address, value)| (StateKey::Account(*address), read(account(value)))));
    reads.extend(witness.slots.iter().map(|((at, slot), word)| (StateKey::Slot(*at, *slot), read(of_word(*word)))));
    reads.extend(witness.fees.iter().map(|(key, word)| (StateKey::Fees(*key), read(of_word(*word)))));
    // What is held exclusively and not named below is written too: the slots of a wiped account, say.
    let unnamed = slice.locks.iter().filter(|(_, mode)| **mode == LockMode::Exclusive);
    let mut written: BTreeMap<StateKey, Change> = unnamed.map(|(key, _)| (*key, Change::Unseen)).collect();
    written.extend(changes.credits.keys().map(|key| (StateKey::Fees(*key), Change::Credit)));
    written.extend(changes.drained.iter().map(|key| (StateKey::Fees(*key), Change::Value(None))));
    written.extend(changes.accounts.iter().map(|(at, value)| (StateKey::Account(*at), Change::Value(account(value)))));
    written.extend(
        changes.slots.iter().map(|((at, slot), word)| (StateKey::Slot(*at, *slot), Change::Value(of_word(*word)))),
    );
    Access { transaction: Transaction::Attempt(Cause::Attempt(id)), reads, changes: written }
}

/// What ran on the shard's own state within its step.
fn of_locks(transaction: Transaction, locks: &BTreeMap<StateKey, LockMode>) -> Access {
    let reads = locks.iter().filter(|(_, mode)| **mode != LockMode::Credit).map(|(key, _)| (*key, Reading::Current));
    let changes = locks.iter().filter_map(|(key, mode)| match mode {
        LockMode::Shared => None,
        LockMode::Credit => Some((*key, Change::Credit)),
        LockMode::Exclusive => Some((*key, Change::Unseen)),
    });
    Access { transaction, reads: reads.collect(), changes: changes.collect() }
}
