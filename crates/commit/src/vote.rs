//! A shard's word on an attempt.

use crate::Refusal;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{AttemptId, Epoch, ShardId};

/// Most bytes a vote's canonical encoding may have.
pub const VOTE_BYTES_MAX: usize = 1024;

/// Most bytes the evidence of one vote may have: a receipt with a certificate of a large validator set.
pub const EVIDENCE_BYTES_MAX: usize = 64 << 10;

/// Yes or no.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Verdict {
    /// Locked, reserved, ready to apply: this shard will commit if all do.
    Yes,
    /// Never; why is commentary, that it is no is the fact.
    No(Refusal),
}

impl Verdict {
    /// Whether it is yes.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// The body of a vote leaf: one per (shard, attempt), for ever the same (R2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// On what (R3: the id binds everything).
    pub attempt: AttemptId,
    /// Whose.
    pub shard: ShardId,
    /// Certified by which validator set (R9).
    pub epoch: Epoch,
    /// Yes or no.
    pub verdict: Verdict,
}

/// A vote with what makes it believable elsewhere.
///
/// `Verified<VoteProof>` means: `evidence` is a receipt of this network for a leaf whose body is exactly `vote`, in an
/// outbox of shard `vote.shard`, certified by more than two thirds of the validators of epoch `vote.epoch` (R9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct VoteProof {
    /// The vote.
    pub vote: Vote,
    /// The receipt's bytes, opaque here; at most [`EVIDENCE_BYTES_MAX`].
    pub evidence: Vec<u8>,
}
