//! From claims to facts, by the checks of the shard's own crate; with a twin, by those that it breaks.

use crate::call::{DecisionClaim, PrepareClaim};
use crate::world::World;
use commit::{DecisionProof, VoteProof};
use primitives::Verified;
use shard::{CheckError, Prepare};

impl World {
    /// Checks votes; those that fail are dropped.
    pub(crate) fn believed_votes(&self, votes: Vec<VoteProof>) -> Vec<Verified<VoteProof>> {
        #[cfg(feature = "twins")]
        if self.plan.twin.is_some() {
            return shard::VoteVerifier::broken(&self.receipts, self.plan.twin).votes(votes).0;
        }
        self.checks.votes(votes)
    }

    /// Checks the votes of a decision.
    pub(crate) fn believed_decision(&self, claim: DecisionClaim) -> Result<DecisionProof, CheckError> {
        let DecisionClaim { descriptor, votes } = claim;
        #[cfg(feature = "twins")]
        if self.plan.twin.is_some() {
            let verifier = shard::VoteVerifier::broken(&self.receipts, self.plan.twin);
            return Ok(verifier.decision(descriptor, votes)?);
        }
        self.checks.decision(descriptor, votes)
    }

    /// Checks an attempt to vote on.
    pub(crate) fn believed_prepare(&self, claim: PrepareClaim) -> Result<Prepare, CheckError> {
        let PrepareClaim { descriptor, payload, homes } = claim;
        self.checks.prepare((*descriptor).clone(), &payload, homes)
    }
}
