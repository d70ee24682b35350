//! `ParticipantService` on the machine.

use crate::checks;
use crate::convert;
use crate::node::{Node, unexpected};
use crate::replays::Replay;
use commit::{DecisionProof, Descriptor, VoteProof};
use host::Class;
use primitives::{AttemptId, Height, Read, Verified};
use shard::{Answer, Checks, Input, queries};
use wire::participant::{AbortRequest, Answers, DecisionClaim, ParticipantApi, Prepare, VoteAnswer};
use wire::{Reason, Rejection};

impl ParticipantApi for Node {
    async fn prepare(&self, prepares: Vec<Prepare>) -> Result<Answers<VoteAnswer>, Rejection> {
        // A deadline is held against the present.
        self.clocks.settled().await;
        let (places, open) = self.sort(prepares);
        let checked = checks::each(&self.checks, open, prepare).await?;
        let input = |ticket, prepare| Input::Prepare { ticket, prepare: Box::new(prepare) };
        let mut voted = self.ask_each(|_| Class::New, checked, input, vote).await.into_iter();
        let lost = || Err(Rejection::new(Reason::Internal, "a batch lost an answer"));
        Ok(places
            .into_iter()
            .map(|place| place.map_or_else(|answer| answer, |_replayed| voted.next().unwrap_or_else(lost)))
            .collect())
    }

    async fn query_votes(&self, attempts: Vec<AttemptId>) -> Result<Answers<VoteAnswer>, Rejection> {
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        let answer = |attempt| known(&snapshot, attempt).unwrap_or(Ok(VoteAnswer::Unknown));
        Ok(attempts.into_iter().map(answer).collect())
    }

    async fn decide(&self, decisions: Vec<DecisionClaim>) -> Result<Answers<Height>, Rejection> {
        let checked = checks::each(&self.checks, decisions, decision).await?;
        let input = |ticket, proof| Input::Decision { ticket, proof: Box::new(proof) };
        let height = |answer| match answer {
            Answer::Decided { height, .. } => Ok(height),
            Answer::AttemptRefused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        };
        Ok(self.ask_each(|_| Class::UnderWay, checked, input, height).await)
    }

    async fn request_abort(&self, requests: Vec<AbortRequest>) -> Result<Answers<VoteAnswer>, Rejection> {
        let checked = checks::each(&self.checks, requests, |checks, request| Ok(waiting(checks, request))).await?;
        // A no that nobody is seen to wait for is new work: a stranger's on a full disk is refused.
        let class = |(_, waits): &Waited| if waits.is_some() { Class::UnderWay } else { Class::New };
        let input = |ticket, (descriptor, waits): Waited| Input::AbortRequest { ticket, descriptor, waits };
        Ok(self.ask_each(class, checked, input, vote).await)
    }
}

impl Node {
    /// Prepares that have to be replayed, and the place of each in the answers.
    #[expect(clippy::type_complexity, reason = "either the right to replay, or an answer")]
    fn sort(&self, prepares: Vec<Prepare>) -> (Vec<Result<Replay<'_>, Result<VoteAnswer, Rejection>>>, Vec<Prepare>) {
        let (mut places, mut open) = (Vec::with_capacity(prepares.len()), Vec::new());
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        for prepare in prepares {
            let place = self.before_replay(&snapshot, &prepare);
            open.extend(place.is_ok().then_some(prepare));
            places.push(place);
        }
        (places, open)
    }
}

/// The vote on an attempt that stands in the store, if there is one.
pub(crate) fn known(read: &impl Read, attempt: AttemptId) -> Option<Result<VoteAnswer, Rejection>> {
    let record = queries::attempt(read, attempt)?;
    let receipt = queries::receipt(read, record.vote).ok_or_else(convert::lost);
    let proof = receipt.and_then(|receipt| convert::vote_proof(&receipt));
    Some(proof.map(|proof| VoteAnswer::Vote { proof, hint: Vec::new() }))
}

/// An attempt to give up, and the vote that waits for it.
type Waited = (Box<Descriptor>, Option<Box<Verified<VoteProof>>>);

/// A vote that does not verify is no vote that waits.
fn waiting(checks: &Checks, request: AbortRequest) -> Waited {
    let waits = request.waits.and_then(|vote| checks.votes(vec![vote]).pop());
    (Box::new(request.descriptor), waits.map(Box::new))
}

fn prepare(checks: &Checks, prepare: Prepare) -> Result<shard::Prepare, Rejection> {
    Ok(checks.prepare(prepare.descriptor, &prepare.payload, prepare.homes)?)
}

fn decision(checks: &Checks, claim: DecisionClaim) -> Result<DecisionProof, Rejection> {
    Ok(checks.decision(claim.descriptor, claim.votes)?)
}

fn vote(answer: Answer) -> Result<VoteAnswer, Rejection> {
    match answer {
        Answer::Voted { receipt, hint, .. } => {
            let hint = hint.iter().map(convert::fresh_value).collect();
            Ok(VoteAnswer::Vote { proof: convert::vote_proof(&receipt)?, hint })
        }
        Answer::AttemptRefused(refusal) => Err(refusal.into()),
        other => Err(unexpected(&other)),
    }
}
