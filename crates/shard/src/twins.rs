//! The broken twins of this crate's rules (`commit::Twin`): what the hooks at the rules call.
//!
//! Promise: without the feature `twins` nothing of this is compiled; with it and without a twin the shard does the same.
//! Knows nothing of who looks for the damage.

use crate::attempts::Prepared;
use crate::shard::{Shard, Work};
use crate::votes::VoteVerifier;
use commit::participant::Record;
use commit::{DecisionProof, Twin, Vote, VoteProof};
use evm::{LockMode, StateKey};
use primitives::{AttemptId, Read, Verified, Verifier};
use proof::{Receipt, ReceiptError};
use std::collections::BTreeMap;

/// The locks of an attempt that are held against others.
pub(crate) fn held(twin: Option<Twin>, mut locks: BTreeMap<StateKey, LockMode>) -> BTreeMap<StateKey, LockMode> {
    if matches!(twin, Some(Twin::EarlyReadUnlock | Twin::UndecidedRead)) {
        locks.retain(|_, mode| *mode != LockMode::Shared);
    }
    locks
}

impl Shard {
    /// Whether this is the rule that is broken here.
    pub(crate) fn breaks(&self, twin: Twin) -> bool {
        self.participant.twin == Some(twin)
    }

    /// The locks of a run that must be free.
    pub(crate) fn awaited(&self, mut locks: BTreeMap<StateKey, LockMode>) -> BTreeMap<StateKey, LockMode> {
        if self.breaks(Twin::UndecidedRead) {
            locks.retain(|_, mode| *mode != LockMode::Shared);
        }
        locks
    }
}

impl<R: Read> Work<'_, '_, R> {
    /// Aborts a late attempt without a vote; whether it did.
    pub(crate) fn abort_by_clock(&mut self, id: AttemptId) -> bool {
        let Some(live) = self.shard.attempts.descriptor(id) else { return false };
        let record = Record::Prepared { descriptor: live.clone() };
        let Some(step) = self.shard.participant.aborted_by_clock(&record, self.time) else { return false };
        if let Some(known) = crate::attempts::attempt(&self.ledger.staged, id) {
            self.end(id, &known, step);
        }
        true
    }

    /// The decision that the votes at hand make if nobody else is waited for.
    pub(crate) fn decide_without_the_rest(&self, id: AttemptId) -> Option<DecisionProof> {
        let descriptor = self.shard.attempts.descriptor(id)?.clone();
        let own = self.own_vote(id)?;
        let votes: Vec<Verified<VoteProof>> = self.shard.attempts.votes(id).chain([own]).collect();
        let enough = self.shard.breaks(Twin::ParticipantsNotBound) && votes.len() > 1;
        enough.then(|| DecisionProof::unbound(descriptor, votes)).flatten()
    }

    /// Keeps the part of an attempt that ends, so that it can be applied again.
    pub(crate) fn keep_part(&mut self, id: AttemptId, prepared: Option<Prepared>) -> Option<Prepared> {
        if !self.shard.breaks(Twin::DecisionAppliedTwice) {
            return prepared;
        }
        match prepared {
            Some(prepared) => Some(self.shard.attempts.kept.entry(id).or_insert(prepared).clone()),
            None => self.shard.attempts.kept.get(&id).cloned(),
        }
    }
}

impl VoteVerifier<'_> {
    /// Whether a twin counts this vote without the rest of the check: whoever signed its block, or in whoever's outbox.
    pub(crate) fn believes_anyway(self, receipt: &Receipt, vote: &Vote) -> bool {
        let checked = self.receipts.verify(receipt.clone());
        match self.twin {
            Some(Twin::CertificateUnchecked) => matches!(checked, Err(ReceiptError::Certificate(_))),
            Some(Twin::ForeignVoteAccepted) => checked.is_ok_and(|fact| fact.shard != vote.shard),
            _ => false,
        }
    }
}
