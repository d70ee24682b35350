//! The decision: a pure function of votes, and its proof.

use crate::{Descriptor, Vote, VoteProof};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{AttemptId, ShardId, Verified};
use std::collections::BTreeMap;

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Decision {
    /// Every participant applies.
    Commit,
    /// No participant applies.
    Abort,
}

impl Decision {
    /// A short stable name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Abort => "abort",
        }
    }
}

/// What `votes` decide about the attempt, if anything.
///
/// R1: commit iff a yes from exactly the participants named in the id; abort iff some participant's no. Votes on other
/// attempts, from others, or of other epochs (R9) count for nothing.
pub fn decide<'a>(descriptor: &Descriptor, votes: impl IntoIterator<Item = &'a Vote>) -> Option<Decision> {
    let attempt = descriptor.id();
    let mut counted: BTreeMap<ShardId, bool> = BTreeMap::new();
    for vote in votes.into_iter().filter(|vote| counts(descriptor, attempt, vote)) {
        *counted.entry(vote.shard).or_insert(true) &= vote.verdict.is_yes();
    }
    if counted.values().any(|yes| !yes) {
        return Some(Decision::Abort);
    }
    (counted.len() == descriptor.participants.len()).then_some(Decision::Commit)
}

/// Whether `vote` is one of those that decide the attempt (R3, R9).
pub fn counts(descriptor: &Descriptor, attempt: AttemptId, vote: &Vote) -> bool {
    vote.attempt == attempt && descriptor.epoch(vote.shard) == Some(vote.epoch)
}

/// The votes do not decide the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{votes} counting votes of {participants} participants decide nothing")]
pub struct Undecided {
    /// How many votes count.
    pub votes: usize,
    /// How many participants there are.
    pub participants: usize,
}

/// A decision with the votes it follows from. It exists only if they decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionProof {
    descriptor: Descriptor,
    attempt: AttemptId,
    votes: Vec<Verified<VoteProof>>,
    decision: Decision,
}

impl DecisionProof {
    /// The proof that `votes` make of the attempt; keeps only the votes it needs: all for a commit, one no for an abort.
    ///
    /// # Errors
    /// [`Undecided`] if they decide nothing (R1).
    pub fn new(descriptor: Descriptor, votes: Vec<Verified<VoteProof>>) -> Result<Self, Undecided> {
        let attempt = descriptor.id();
        let mut counted: BTreeMap<ShardId, Verified<VoteProof>> = BTreeMap::new();
        for proof in votes.into_iter().filter(|proof| counts(&descriptor, attempt, &proof.vote)) {
            // A no outlives a yes of the same shard: `decide` sees it so too.
            if !proof.vote.verdict.is_yes() || !counted.contains_key(&proof.vote.shard) {
                counted.insert(proof.vote.shard, proof);
            }
        }
        let undecided = Undecided { votes: counted.len(), participants: descriptor.participants.len() };
        let decision = decide(&descriptor, counted.values().map(|proof| &proof.vote)).ok_or(undecided)?;
        let votes = match decision {
            Decision::Commit => counted.into_values().collect(),
            Decision::Abort => counted.into_values().find(|proof| !proof.vote.verdict.is_yes()).into_iter().collect(),
        };
        Ok(Self { descriptor, attempt, votes, decision })
    }

    /// What [`crate::Twin::ParticipantsNotBound`] takes for a commit: yes votes, whoever is missing.
    #[cfg(feature = "twins")]
    pub fn unbound(descriptor: Descriptor, votes: Vec<Verified<VoteProof>>) -> Option<Self> {
        let attempt = descriptor.id();
        let counting = votes.into_iter().filter(|proof| counts(&descriptor, attempt, &proof.vote));
        let votes: Vec<_> = counting.collect();
        let is_commit = !votes.is_empty() && votes.iter().all(|proof| proof.vote.verdict.is_yes());
        is_commit.then_some(Self { descriptor, attempt, votes, decision: Decision::Commit })
    }

    /// What it was about.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The attempt's id.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The votes that decide: of all participants for a commit, one no for an abort.
    pub fn votes(&self) -> &[Verified<VoteProof>] {
        &self.votes
    }

    /// Commit or abort.
    pub fn decide(&self) -> Decision {
        self.decision
    }
}
