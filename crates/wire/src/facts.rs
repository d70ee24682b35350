//! From claims to facts: the verifiers whose results are machines' inputs.
//!
//! ```text
//!   VoteProof     -- receipt verifies, says exactly this vote, of this shard, in this epoch --> Verified<VoteProof>
//!   DecisionClaim -- every vote verifies and together they decide -----------------------> commit::DecisionProof
//!   receipt       -- receipt verifies, is a message or a delivery of who said it --------> Inbound
//! ```
//!
//! Promise (R9): one rule for all: a receipt through [`ReceiptVerifier`], whose validator sets are the verifier's own.
//! Nothing a peer sends says by whom it is to be checked. Pure and heavy: a host runs it in parallel, before the step.

use crate::convert::{ConvertError, canonical};
use crate::limits::PARTICIPANTS_COUNT_MAX;
use crate::participant::DecisionClaim;
use crate::rejection::{Reason, Rejection};
use commit::{
    DecisionProof, Descriptor, DescriptorError, EVIDENCE_BYTES_MAX, Undecided, VOTE_BYTES_MAX, Vote, VoteProof,
};
use primitives::{AttemptId, Epoch, ShardId, Verified, Verifier};
use proof::{Delivery, Fact, LeafKind, Message, MessageError, Receipt, ReceiptError, ReceiptVerifier};

/// Why a claim is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// The bytes are no canonical receipt.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// The receipt does not verify.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The receipt is of another kind of leaf.
    #[error("a leaf of kind {actual:?} where {expected:?} is due")]
    Kind {
        /// What is due.
        expected: &'static [LeafKind],
        /// What it is.
        actual: LeafKind,
    },
    /// The receipt says another vote than the one claimed.
    #[error("the receipt is not for the vote it is said to prove")]
    OtherVote,
    /// A shard speaks for another.
    #[error("shard {actual} speaks for shard {expected}")]
    Shard {
        /// Whose vote it is said to be.
        expected: ShardId,
        /// Who said it.
        actual: ShardId,
    },
    /// The vote was certified in another epoch than it binds (R9).
    #[error("a vote of epoch {expected} certified in epoch {actual}")]
    Epoch {
        /// The vote's.
        expected: Epoch,
        /// The certificate's.
        actual: Epoch,
    },
    /// A vote among those of a decision that is on another attempt.
    #[error("a vote on {actual} among those on {expected}")]
    OtherAttempt {
        /// What the decision is about.
        expected: AttemptId,
        /// What the vote is about.
        actual: AttemptId,
    },
    /// A descriptor that describes no attempt.
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
    /// The fact is no message or delivery of the shard that said it.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl From<FactError> for Rejection {
    fn from(error: FactError) -> Self {
        let text = error.to_string();
        match error {
            FactError::Convert(error) => error.into(),
            FactError::Receipt(error) => error.into(),
            FactError::Descriptor(error) => error.into(),
            FactError::Undecided(error) => error.into(),
            FactError::Message(error) => error.into(),
            FactError::Kind { .. } | FactError::OtherVote | FactError::OtherAttempt { .. } => {
                Self::new(Reason::WrongLeaf, text)
            }
            FactError::Shard { expected, actual } => {
                Self::new(Reason::WrongShard, text).with("expected", expected).with("actual", actual)
            }
            FactError::Epoch { expected, actual } => {
                Self::new(Reason::WrongEpoch, text).with("expected", expected).with("actual", actual)
            }
            FactError::VotesCount { .. } => Self::new(Reason::OverBound, text),
        }
    }
}

/// Checks votes by one network's validator sets.
#[derive(Debug, Clone, Copy)]
pub struct VoteVerifier<'a> {
    receipts: &'a ReceiptVerifier,
}

impl<'a> VoteVerifier<'a> {
    /// Checks with `receipts`.
    pub fn new(receipts: &'a ReceiptVerifier) -> Self {
        Self { receipts }
    }

    /// The checked votes among `proofs`, in order; those that fail are given back with why, by their place.
    pub fn votes(&self, proofs: Vec<VoteProof>) -> (Vec<Verified<VoteProof>>, Vec<(usize, FactError)>) {
        let mut votes = Vec::with_capacity(proofs.len());
        let mut failed = Vec::new();
        for (place, proof) in proofs.into_iter().enumerate() {
            match Verified::by(self, proof) {
                Ok(vote) => votes.push(vote),
                Err(error) => failed.push((place, error)),
            }
        }
        (votes, failed)
    }

    /// The decision that `claim` proves: every vote in it must verify and be on its attempt.
    ///
    /// # Errors
    /// Of the first vote that fails; [`FactError::Undecided`] if they verify and decide nothing.
    pub fn decision(&self, claim: DecisionClaim) -> Result<DecisionProof, FactError> {
        let DecisionClaim { descriptor, votes } = claim;
        descriptor.check()?;
        if votes.len() > PARTICIPANTS_COUNT_MAX {
            return Err(FactError::VotesCount { actual: votes.len() });
        }
        let votes = self.votes_on(&descriptor, votes)?;
        Ok(DecisionProof::new(descriptor, votes)?)
    }

    fn votes_on(self, descriptor: &Descriptor, votes: Vec<VoteProof>) -> Result<Vec<Verified<VoteProof>>, FactError> {
        let expected = descriptor.id();
        let verify = |proof: VoteProof| {
            let actual = proof.vote.attempt;
            // Cheap first: a vote on something else costs no signature check.
            if actual == expected {
                Verified::by(&self, proof)
            } else {
                Err(FactError::OtherAttempt { expected, actual })
            }
        };
        votes.into_iter().map(verify).collect()
    }
}

impl Verifier<VoteProof> for VoteVerifier<'_> {
    type Fact = VoteProof;
    type Error = FactError;

    fn verify(&self, claim: VoteProof) -> Result<VoteProof, FactError> {
        let receipt: Receipt = canonical("evidence", &claim.evidence, EVIDENCE_BYTES_MAX)?;
        check_kind(&receipt, &[LeafKind::Vote])?;
        let vote: Vote = canonical("vote", &receipt.leaf.body, VOTE_BYTES_MAX)?;
        if vote != claim.vote {
            return Err(FactError::OtherVote);
        }
        // R9: by the set of the epoch that the attempt binds, so not through a later epoch's certificate either.
        let certified = receipt.certified().epoch;
        let fact = self.receipts.verify(receipt)?;
        if fact.shard != vote.shard {
            return Err(FactError::Shard { expected: vote.shard, actual: fact.shard });
        }
        for actual in [fact.epoch, certified] {
            if actual != vote.epoch {
                return Err(FactError::Epoch { expected: vote.epoch, actual });
            }
        }
        Ok(claim)
    }
}

fn check_kind(receipt: &Receipt, expected: &'static [LeafKind]) -> Result<(), FactError> {
    let actual = receipt.leaf.kind;
    if expected.contains(&actual) { Ok(()) } else { Err(FactError::Kind { expected, actual }) }
}

/// What a receipt handed to an inbox or a relay amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A message, said by the shard of its origin.
    Message {
        /// Who said it, where and when.
        fact: Verified<Fact>,
        /// What.
        message: Message,
    },
    /// What became of a message, said by the shard of its destination.
    Delivery {
        /// Who said it, where and when.
        fact: Verified<Fact>,
        /// What.
        delivery: Delivery,
    },
}

/// Checks a receipt of a message or a delivery.
///
/// # Errors
/// [`FactError::Kind`] before any signature is checked, if it is of another kind.
pub fn inbound(receipts: &ReceiptVerifier, receipt: Receipt) -> Result<Inbound, FactError> {
    check_kind(&receipt, &[LeafKind::Message, LeafKind::Delivery])?;
    let fact = Verified::by(receipts, receipt)?;
    match fact.leaf.kind {
        LeafKind::Message => Ok(Inbound::Message { message: Message::from_fact(&fact)?, fact }),
        LeafKind::Delivery => Ok(Inbound::Delivery { delivery: Delivery::from_fact(&fact)?, fact }),
        actual @ (LeafKind::Vote | LeafKind::Outcome) => {
            Err(FactError::Kind { expected: &[LeafKind::Message, LeafKind::Delivery], actual })
        }
    }
}
