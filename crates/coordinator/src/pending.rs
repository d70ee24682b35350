//! One submission on its way.

use crate::batches::Batch;
use crate::claims::Turn;
use crate::fetch::FetchId;
use crate::input::Ticket;
use crate::runs::RunId;
use alloy_primitives::{Address, B256};
use commit::DecisionProof;
use evm::{Executed, Payload, RecoveredPayload};
use primitives::{AttemptId, ShardId, Slot, Time, Verified};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A submission that has not ended.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) ticket: Ticket,
    pub(crate) payload: Arc<Verified<RecoveredPayload>>,
    /// When it was submitted: its lifetime runs from here.
    pub(crate) since: Time,
    /// Once it was accepted: how many bytes it is kept with.
    pub(crate) kept: Option<usize>,
    /// Attempts and local submissions so far.
    pub(crate) tries: u32,
    /// Fetches since the last try.
    pub(crate) rounds: u32,
    /// Gas that its runs burnt since the last try.
    pub(crate) burnt: u64,
    /// Gas that all its runs burnt.
    pub(crate) unpaid: u64,
    pub(crate) trust: Trust,
    /// Whether its shard was busy with others when it was handed over.
    pub(crate) met_others: bool,
    pub(crate) slots: SlotsTaken,
    /// While it waits for its sender's earlier nonces: which was the next, and since when.
    pub(crate) nonce_since: Option<(u64, Time)>,
    /// If it is no submission but several that share an attempt.
    pub(crate) batch: Option<Box<Batch>>,
    pub(crate) stage: Stage,
    /// When it is looked at even if nothing comes.
    pub(crate) due: Option<Time>,
}

/// What the cached values under the next run are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// They may be old: a run that fails says nothing yet.
    Guessed,
    /// All that a failed run had looked at was fetched again: if it fails again, it fails.
    Refreshed,
}

/// Which slots shards have said they would take, after they refused one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotsTaken {
    from: Slot,
    to: Slot,
}

impl SlotsTaken {
    const ANY: Self = Self { from: Slot(0), to: Slot(u64::MAX) };

    /// A shard refused `tried` and would take `taken`: this coordinator's clock is ahead of it, or others were there first.
    pub(crate) fn learn(&mut self, tried: Slot, taken: Slot) {
        *self = if taken < tried {
            Self { to: taken, ..Self::ANY }
        } else {
            Self { from: taken.max(self.from), ..Self::ANY }
        };
    }

    /// The slot to run at where it is `now`.
    pub(crate) fn at(self, now: Slot) -> Slot {
        now.max(self.from).min(self.to)
    }
}

/// What a submission waits for.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its execution.
    Ready,
    /// A run beside the step.
    Running(RunId),
    /// Values.
    Fetching(BTreeSet<FetchId>),
    /// Keys that others of this coordinator hold; with the shards that it touches.
    Queued { participants: BTreeSet<ShardId> },
    /// Its sender's earlier transactions.
    Nonce { sender: Address, nonce: u64 },
    /// A little time, after an abort.
    Backoff,
    /// The batch it is a member of.
    Member(Turn),
    /// More members; and its keys, or room to begin.
    Gathering,
    /// The shard it was handed to.
    Local(Box<Local>),
    /// An attempt.
    Attempt(Box<Attempt>),
}

/// A local submission without an answer.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) shard: ShardId,
    pub(crate) payload: Payload,
    /// What is expected of it.
    pub(crate) executed: Arc<Executed>,
    /// Since when the shard is silent.
    pub(crate) since: Time,
}

/// An attempt that is not finished.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) executed: Arc<Executed>,
    pub(crate) proof: Option<Arc<DecisionProof>>,
    /// Who has voted.
    pub(crate) voted: BTreeSet<ShardId>,
    /// A participant that will never vote on it, and why.
    pub(crate) objection: Option<(ShardId, String)>,
}

impl Attempt {
    /// Whose votes are waited for: the homes' first, then the others' (R11); nobody's once it is decided.
    pub(crate) fn waits_for(&self) -> BTreeSet<ShardId> {
        if self.proof.is_some() {
            return BTreeSet::new();
        }
        let silent = |shards: &BTreeSet<ShardId>| shards.difference(&self.voted).copied().collect::<BTreeSet<_>>();
        let homes = silent(&self.executed.homes);
        if homes.is_empty() { silent(&self.executed.participants) } else { homes }
    }

    /// Who may have been asked for a vote, and so may hold locks.
    pub(crate) fn asked(&self) -> BTreeSet<ShardId> {
        let is_reserved = self.executed.homes.is_subset(&self.voted);
        if is_reserved { self.executed.participants.clone() } else { self.executed.homes.clone() }
    }
}

impl Pending {
    pub(crate) fn new(ticket: Ticket, payload: Arc<Verified<RecoveredPayload>>, since: Time) -> Self {
        Self {
            ticket,
            payload,
            since,
            kept: None,
            tries: 0,
            rounds: 0,
            burnt: 0,
            met_others: false,
            unpaid: 0,
            trust: Trust::Guessed,
            slots: SlotsTaken::ANY,
            nonce_since: None,
            batch: None,
            stage: Stage::Ready,
            due: None,
        }
    }

    /// A batch that gathers; what it will run is known when it begins.
    pub(crate) fn batch(payload: Arc<Verified<RecoveredPayload>>, since: Time, batch: Batch) -> Self {
        let alone = Self::new(Ticket(u64::MAX), payload, since);
        Self { batch: Some(Box::new(batch)), stage: Stage::Gathering, ..alone }
    }

    /// The hashes of its signed transactions.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = B256> + '_ {
        self.payload.signed().map(evm::RecoveredTransaction::hash)
    }

    /// A shard refused the slot that it ran at, and would take `taken`.
    pub(crate) fn slot_refused(&mut self, taken: Slot) {
        if let Some(tried) = self.payload.payload().environment.slot() {
            self.slots.learn(tried, taken);
        }
    }

    /// Who signed them, with their nonces.
    pub(crate) fn nonces(&self) -> impl Iterator<Item = (Address, u64)> + '_ {
        self.payload.signed().map(|transaction| (transaction.sender(), transaction.nonce()))
    }

    /// Whether each of its runs is at the slot of its time, and not in a block that a replay names.
    pub(crate) fn runs_in_slots(&self) -> bool {
        self.payload.payload().environment.slot().is_some()
    }

    /// Who signed its first transaction, and pays if it commits; nobody for a batch, whose members have paid for themselves.
    pub(crate) fn payer(&self) -> Option<Address> {
        self.nonces().next().filter(|_| self.batch.is_none()).map(|(sender, _)| sender)
    }

    /// The most gas that one run may burn; of a batch, what its members burnt alone.
    pub(crate) fn gas_limit(&self) -> u64 {
        if let Some(batch) = &self.batch {
            return batch.gas;
        }
        let limits = self.payload.signed().map(evm::RecoveredTransaction::gas_limit);
        limits.fold(0, u64::saturating_add)
    }

    /// Its attempt, if it has an unfinished one.
    pub(crate) fn attempt(&mut self) -> Option<&mut Attempt> {
        match &mut self.stage {
            Stage::Attempt(attempt) => Some(attempt),
            _ => None,
        }
    }
}
