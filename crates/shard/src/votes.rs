//! From receipts to votes that may be counted, and to decisions.
//!
//! ```text
//!   receipt's bytes ----- verifies, is a vote leaf of this shard and this epoch ----> Verified<VoteProof>
//!   VoteProof ----------- and it is exactly the vote it is said to prove ------------> Verified<VoteProof>
//!   descriptor, votes --- and all are on it, and together they decide ---------------> DecisionProof
//! ```
//!
//! Promise (R9): a vote counts only if the shard it names said it, under the validators of the epoch it names. The sets
//! are the verifier's own: nothing a peer sends says by whom it is to be checked.
//! This is where `commit`, which takes evidence as opaque bytes, meets `proof`, which knows what evidence is.

use commit::{
    DecisionProof, Descriptor, DescriptorError, EVIDENCE_BYTES_MAX, PARTICIPANTS_COUNT_MAX, Undecided, VOTE_BYTES_MAX,
    Vote, VoteProof,
};
use primitives::{AttemptId, DecodeError, Epoch, ShardId, Verified, Verifier, decode};
use proof::{Certified, LeafKind, Receipt, ReceiptError, ReceiptVerifier};

/// Why a receipt is no vote, or votes are no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// The bytes are no receipt, or the leaf's body is no vote.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The receipt is not believed.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The leaf is something else.
    #[error("a leaf of kind {actual:?} where a vote is due")]
    Kind {
        /// What it is.
        actual: LeafKind,
    },
    /// The receipt says another vote than the one claimed.
    #[error("the receipt is not for the vote it is said to prove")]
    OtherVote,
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
    /// A vote among those of a decision that is on another attempt.
    #[error("a vote on {actual} among those on {expected}")]
    OtherAttempt {
        /// What the decision is about.
        expected: AttemptId,
        /// What the vote is about.
        actual: AttemptId,
    },
    /// The descriptor describes no attempt.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// More votes than an attempt may have participants.
    #[error("{actual} votes where at most {PARTICIPANTS_COUNT_MAX} are allowed")]
    VotesCount {
        /// How many came.
        actual: usize,
    },
    /// The votes decide nothing.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

/// The certified header that proves a vote: a fact if the vote is one.
pub fn certified_by(vote: &VoteProof) -> Option<Certified> {
    decode::<Receipt>(&vote.evidence, EVIDENCE_BYTES_MAX).ok().map(|receipt| receipt.seal())
}

/// Checks votes by one network's validator sets.
#[derive(Debug, Clone, Copy)]
pub struct VoteVerifier<'a> {
    pub(crate) receipts: &'a ReceiptVerifier,
    #[cfg(feature = "twins")]
    pub(crate) twin: Option<commit::Twin>,
}

impl<'a> VoteVerifier<'a> {
    /// Over the validators that `receipts` knows.
    pub fn new(receipts: &'a ReceiptVerifier) -> Self {
        Self {
            receipts,
            #[cfg(feature = "twins")]
            twin: None,
        }
    }

    /// The same with one rule broken: `CertificateUnchecked`, `ForeignVoteAccepted` or `ParticipantsNotBound`.
    #[cfg(feature = "twins")]
    pub fn broken(receipts: &'a ReceiptVerifier, twin: Option<commit::Twin>) -> Self {
        Self { receipts, twin }
    }

    /// The checked votes among `proofs`, in order, and why the others are none.
    pub fn votes(self, proofs: Vec<VoteProof>) -> (Vec<Verified<VoteProof>>, Vec<VoteError>) {
        let mut votes = Vec::with_capacity(proofs.len());
        let mut failed = Vec::new();
        for proof in proofs {
            match Verified::by(&self, proof) {
                Ok(vote) => votes.push(vote),
                Err(error) => failed.push(error),
            }
        }
        (votes, failed)
    }

    /// The decision that `votes` make on `descriptor`: every one must verify and be on it.
    ///
    /// # Errors
    /// Of the first vote that fails; [`VoteError::Undecided`] if they verify and decide nothing.
    pub fn decision(self, descriptor: Descriptor, votes: Vec<VoteProof>) -> Result<DecisionProof, VoteError> {
        descriptor.check()?;
        if votes.len() > PARTICIPANTS_COUNT_MAX {
            return Err(VoteError::VotesCount { actual: votes.len() });
        }
        let expected = descriptor.id();
        let verify = |proof: VoteProof| {
            let actual = proof.vote.attempt;
            // Cheap first: a vote on something else costs no signature check.
            if actual == expected {
                Verified::by(&self, proof)
            } else {
                Err(VoteError::OtherAttempt { expected, actual })
            }
        };
        let votes = votes.into_iter().map(verify).collect::<Result<_, _>>()?;
        #[cfg(feature = "twins")] // ParticipantsNotBound breaks R1.
        return Ok(commit::Twin::decision_proof(self.twin, descriptor, votes)?);
        #[cfg(not(feature = "twins"))]
        Ok(DecisionProof::new(descriptor, votes)?)
    }

    fn vote(self, evidence: &[u8]) -> Result<Vote, VoteError> {
        let receipt: Receipt = decode(evidence, EVIDENCE_BYTES_MAX)?;
        if receipt.leaf.kind != LeafKind::Vote {
            return Err(VoteError::Kind { actual: receipt.leaf.kind });
        }
        let vote: Vote = decode(&receipt.leaf.body, VOTE_BYTES_MAX)?;
        // R9: by the set of the epoch that the attempt binds, so not through a later epoch's certificate either.
        let certified = receipt.certified().epoch;
        #[cfg(feature = "twins")] // CertificateUnchecked and ForeignVoteAccepted break R9.
        if self.believes_anyway(&receipt, &vote) {
            return Ok(vote);
        }
        let fact = self.receipts.verify(receipt)?;
        if fact.shard != vote.shard {
            return Err(VoteError::Shard { said: fact.shard, named: vote.shard });
        }
        match [fact.epoch, certified].into_iter().find(|epoch| *epoch != vote.epoch) {
            Some(certified) => Err(VoteError::Epoch { certified, named: vote.epoch }),
            None => Ok(vote),
        }
    }
}

/// The canonical bytes of a receipt become the vote in its leaf, with those bytes as evidence.
impl Verifier<Vec<u8>> for VoteVerifier<'_> {
    type Fact = VoteProof;
    type Error = VoteError;

    fn verify(&self, evidence: Vec<u8>) -> Result<VoteProof, VoteError> {
        Ok(VoteProof { vote: self.vote(&evidence)?, evidence })
    }
}

/// A vote with its evidence stays as it is, if that is evidence for this vote.
impl Verifier<VoteProof> for VoteVerifier<'_> {
    type Fact = VoteProof;
    type Error = VoteError;

    fn verify(&self, claim: VoteProof) -> Result<VoteProof, VoteError> {
        if self.vote(&claim.evidence)? == claim.vote { Ok(claim) } else { Err(VoteError::OtherVote) }
    }
}
