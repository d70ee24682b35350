//! Between protobuf and the participant's types.

use super::{AbortRequest, DecisionClaim, Prepare, VoteAnswer};
use crate::convert::{ConvertError, bytes_of, canonical, descriptor, encoded, required};
use crate::limits::{HINT_VALUES_COUNT_MAX, RECEIPT_BYTES_MAX};
use crate::proto::v1;
use crate::rejection::Rejection;
use crate::state::FreshValue;
use commit::{VOTE_BYTES_MAX, Vote, VoteProof};
use primitives::Height;
use proof::{LeafKind, Receipt};
use prost::bytes::Bytes;

/// The vote that a receipt claims: its leaf's body, with the receipt as evidence.
pub(crate) fn vote_proof(field: &'static str, bytes: &[u8]) -> Result<VoteProof, ConvertError> {
    let receipt: Receipt = canonical(field, bytes, RECEIPT_BYTES_MAX)?;
    if receipt.leaf.kind != LeafKind::Vote {
        let reason = format!("a leaf of kind {:?} where a vote is due", receipt.leaf.kind);
        return Err(ConvertError::Invalid { field, reason });
    }
    let vote: Vote = canonical(field, &receipt.leaf.body, VOTE_BYTES_MAX)?;
    Ok(VoteProof { vote, evidence: bytes.to_vec() })
}

fn vote_proofs(field: &'static str, receipts: &[Bytes]) -> Result<Vec<VoteProof>, ConvertError> {
    receipts.iter().map(|bytes| vote_proof(field, bytes)).collect()
}

fn evidence(votes: Vec<VoteProof>) -> Vec<Bytes> {
    votes.into_iter().map(|proof| proof.evidence.into()).collect()
}

impl TryFrom<v1::Prepare> for Prepare {
    type Error = ConvertError;

    fn try_from(prepare: v1::Prepare) -> Result<Self, ConvertError> {
        Ok(Self {
            descriptor: descriptor("descriptor", &prepare.descriptor)?,
            homes: vote_proofs("home_votes", &prepare.home_votes)?,
            payload: prepare.payload,
        })
    }
}

impl From<Prepare> for v1::Prepare {
    fn from(prepare: Prepare) -> Self {
        Self { descriptor: encoded(&prepare.descriptor), payload: prepare.payload, home_votes: evidence(prepare.homes) }
    }
}

impl TryFrom<v1::AbortRequest> for AbortRequest {
    type Error = ConvertError;

    fn try_from(request: v1::AbortRequest) -> Result<Self, ConvertError> {
        let waits = (!request.waits.is_empty()).then(|| vote_proof("waits", &request.waits));
        Ok(Self { descriptor: descriptor("descriptor", &request.descriptor)?, waits: waits.transpose()? })
    }
}

impl From<AbortRequest> for v1::AbortRequest {
    fn from(request: AbortRequest) -> Self {
        let waits = request.waits.map_or_else(Bytes::new, |proof| proof.evidence.into());
        Self { descriptor: encoded(&request.descriptor), waits }
    }
}

impl TryFrom<v1::DecisionProof> for DecisionClaim {
    type Error = ConvertError;

    fn try_from(proof: v1::DecisionProof) -> Result<Self, ConvertError> {
        Ok(Self {
            descriptor: descriptor("descriptor", &proof.descriptor)?,
            votes: vote_proofs("votes", &proof.votes)?,
        })
    }
}

impl From<DecisionClaim> for v1::DecisionProof {
    fn from(claim: DecisionClaim) -> Self {
        Self { descriptor: encoded(&claim.descriptor), votes: evidence(claim.votes) }
    }
}

impl From<&commit::DecisionProof> for DecisionClaim {
    fn from(proof: &commit::DecisionProof) -> Self {
        Self {
            descriptor: proof.descriptor().clone(),
            votes: proof.votes().iter().map(|vote| (**vote).clone()).collect(),
        }
    }
}

/// An answer as a peer gave it. Both sides may refuse: the peer the item, we the peer's answer.
pub(super) fn answer(answer: v1::VoteAnswer) -> Result<VoteAnswer, Rejection> {
    match required("answer", answer.answer)? {
        v1::vote_answer::Answer::Vote(receipt) => {
            let hint = answer.hint.into_iter().map(FreshValue::try_from).collect::<Result<_, _>>()?;
            Ok(VoteAnswer::Vote { proof: vote_proof("vote", &receipt)?, hint })
        }
        v1::vote_answer::Answer::Rejection(rejection) => Err(rejection.into()),
        v1::vote_answer::Answer::Unknown(v1::UnknownAttempt {}) => Ok(VoteAnswer::Unknown),
    }
}

impl From<Result<VoteAnswer, Rejection>> for v1::VoteAnswer {
    fn from(answer: Result<VoteAnswer, Rejection>) -> Self {
        use v1::vote_answer::Answer;
        let mut fresh = Vec::new();
        let answer = match answer {
            Ok(VoteAnswer::Vote { proof, hint }) => {
                fresh = hint.into_iter().take(HINT_VALUES_COUNT_MAX).map(Into::into).collect();
                Answer::Vote(proof.evidence.into())
            }
            Ok(VoteAnswer::Unknown) => Answer::Unknown(v1::UnknownAttempt {}),
            Err(rejection) => Answer::Rejection(rejection.into()),
        };
        Self { answer: Some(answer), hint: fresh }
    }
}

/// What became of a decision, as a peer says.
pub(super) fn decided(result: v1::DecideResult) -> Result<Height, Rejection> {
    match required("result", result.result)? {
        v1::decide_result::Result::Applied(applied) => Ok(Height(applied.height)),
        v1::decide_result::Result::Rejection(rejection) => Err(rejection.into()),
    }
}

impl From<Result<Height, Rejection>> for v1::DecideResult {
    fn from(result: Result<Height, Rejection>) -> Self {
        use v1::decide_result::Result as Of;
        let result = match result {
            Ok(height) => Of::Applied(v1::DecisionApplied { height: height.0 }),
            Err(rejection) => Of::Rejection(rejection.into()),
        };
        Self { result: Some(result) }
    }
}

/// The bytes of attempts' ids.
pub(super) fn attempt_bytes(attempts: &[primitives::AttemptId]) -> Vec<Bytes> {
    attempts.iter().map(|attempt| bytes_of(attempt.0.as_bytes())).collect()
}
