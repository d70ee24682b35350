//! `ParticipantService` on the machine.

use crate::checks;
use crate::convert;
use crate::node::{Node, unexpected};
use commit::{DecisionProof, Descriptor};
use host::Class;
use primitives::{AttemptId, Height};
use shard::{Answer, Checks, Input, queries};
use wire::Rejection;
use wire::participant::{Answers, DecisionClaim, ParticipantApi, Prepare, VoteAnswer};

impl ParticipantApi for Node {
    async fn prepare(&self, prepares: Vec<Prepare>) -> Result<Answers<VoteAnswer>, Rejection> {
        let checked = checks::each(&self.checks, prepares, prepare).await?;
        let input = |ticket, prepare| Input::Prepare { ticket, prepare: Box::new(prepare) };
        Ok(self.ask_each(Class::New, checked, input, vote).await)
    }

    async fn query_votes(&self, attempts: Vec<AttemptId>) -> Result<Answers<VoteAnswer>, Rejection> {
        let reader = self.handle.reader();
        let snapshot = reader.snapshot();
        let known = |attempt: AttemptId| {
            let Some(record) = queries::attempt(&snapshot, attempt) else { return Ok(VoteAnswer::Unknown) };
            let receipt = queries::receipt(&snapshot, record.vote).ok_or_else(convert::lost)?;
            Ok(VoteAnswer::Vote { proof: convert::vote_proof(&receipt)?, hint: Vec::new() })
        };
        Ok(attempts.into_iter().map(known).collect())
    }

    async fn decide(&self, decisions: Vec<DecisionClaim>) -> Result<Answers<Height>, Rejection> {
        let checked = checks::each(&self.checks, decisions, decision).await?;
        let input = |ticket, proof| Input::Decision { ticket, proof: Box::new(proof) };
        let height = |answer| match answer {
            Answer::Decided { height, .. } => Ok(height),
            Answer::AttemptRefused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        };
        Ok(self.ask_each(Class::UnderWay, checked, input, height).await)
    }

    async fn request_abort(&self, descriptors: Vec<Descriptor>) -> Result<Answers<VoteAnswer>, Rejection> {
        let input = |ticket, descriptor| Input::AbortRequest { ticket, descriptor: Box::new(descriptor) };
        let descriptors = descriptors.into_iter().map(Ok).collect();
        Ok(self.ask_each(Class::UnderWay, descriptors, input, vote).await)
    }
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
