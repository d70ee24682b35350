//! One submission on its way.

use crate::fetch::FetchId;
use crate::input::Ticket;
use alloy_primitives::{Address, B256};
use commit::DecisionProof;
use evm::{Environment, Executed, Payload, RecoveredPayload};
use primitives::{AttemptId, ShardId, Slot, Time, Verified};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A submission that has not ended.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) ticket: Ticket,
    pub(crate) payload: Arc<Verified<RecoveredPayload>>,
    /// Attempts and local submissions so far.
    pub(crate) tries: u32,
    /// Fetches since the last try.
    pub(crate) rounds: u32,
    pub(crate) trust: Trust,
    pub(crate) slots: SlotsTaken,
    /// Since when it has been waiting for its sender's earlier nonces.
    pub(crate) nonce_since: Option<Time>,
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
    /// Values.
    Fetching(BTreeSet<FetchId>),
    /// Keys that others of this coordinator hold.
    Queued,
    /// Its sender's earlier transactions.
    Nonce { sender: Address, nonce: u64 },
    /// A little time, after an abort.
    Backoff,
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
    /// A participant that will never vote on it, and why.
    pub(crate) objection: Option<(ShardId, String)>,
}

impl Pending {
    pub(crate) fn new(ticket: Ticket, payload: Verified<RecoveredPayload>) -> Self {
        Self {
            ticket,
            payload: Arc::new(payload),
            tries: 0,
            rounds: 0,
            trust: Trust::Guessed,
            slots: SlotsTaken::ANY,
            nonce_since: None,
            stage: Stage::Ready,
            due: None,
        }
    }

    /// The hashes of its signed transactions.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = B256> + '_ {
        self.payload.signed().map(evm::RecoveredTransaction::hash)
    }

    /// A shard refused the slot that it ran at, and would take `taken`.
    pub(crate) fn slot_refused(&mut self, taken: Slot) {
        if let Environment::Slot(tried) = self.payload.payload().environment {
            self.slots.learn(tried, taken);
        }
    }

    /// Its attempt, if it has an unfinished one.
    pub(crate) fn attempt(&mut self) -> Option<&mut Attempt> {
        match &mut self.stage {
            Stage::Attempt(attempt) => Some(attempt),
            _ => None,
        }
    }
}
