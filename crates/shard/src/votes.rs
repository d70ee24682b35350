//! From a receipt's bytes to a vote that may be counted.
//!
//! Promise (R9): a vote counts only if the shard it names said it, under the validators of the epoch it names.
//! This is where `commit`, which takes evidence as opaque bytes, meets `proof`, which knows what evidence is.

use commit::{VOTE_BYTES_MAX, Vote, VoteProof};
use primitives::{DecodeError, Epoch, ShardId, Verifier};
use proof::{LeafKind, ReceiptError, ReceiptVerifier};

/// Why a receipt is no vote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// The receipt is not believed.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The leaf is something else.
    #[error("a leaf of kind {actual:?} where a vote is due")]
    Kind {
        /// What it is.
        actual: LeafKind,
    },
    /// The leaf's body is no vote.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A shard speaks for another.
    #[error("shard {said} says how shard {named} votes")]
    Shard {
        /// Whose block it is in.
        said: ShardId,
        /// Whose vote it claims to be.
        named: ShardId,
    },
    /// The vote names another epoch than the one that certified it.
    #[error("a vote of epoch {named} in a block of epoch {certified}")]
    Epoch {
        /// Who certified.
        certified: Epoch,
        /// What the vote names.
        named: Epoch,
    },
}

/// Checks receipts of vote leaves.
#[derive(Debug, Clone, Copy)]
pub struct VoteVerifier<'a> {
    receipts: &'a ReceiptVerifier,
}

impl<'a> VoteVerifier<'a> {
    /// Over the validators that `receipts` knows.
    pub fn new(receipts: &'a ReceiptVerifier) -> Self {
        Self { receipts }
    }
}

/// The canonical bytes of a receipt become the vote in its leaf, with those bytes as evidence.
impl Verifier<Vec<u8>> for VoteVerifier<'_> {
    type Fact = VoteProof;
    type Error = VoteError;

    fn verify(&self, evidence: Vec<u8>) -> Result<VoteProof, VoteError> {
        let fact = self.receipts.verify(&evidence[..])?;
        if fact.leaf.kind != LeafKind::Vote {
            return Err(VoteError::Kind { actual: fact.leaf.kind });
        }
        let vote: Vote = primitives::decode(&fact.leaf.body, VOTE_BYTES_MAX)?;
        if vote.shard != fact.shard {
            return Err(VoteError::Shard { said: fact.shard, named: vote.shard });
        }
        if vote.epoch != fact.epoch {
            return Err(VoteError::Epoch { certified: fact.epoch, named: vote.epoch });
        }
        Ok(VoteProof { vote, evidence })
    }
}
