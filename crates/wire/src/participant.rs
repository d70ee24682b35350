//! `ParticipantService`: two-phase commit as a participant shard serves it.
//!
//! Everything here is a claim: receipts are decoded, never checked. [`shard::Checks`] turns them into facts, which is the
//! host's work, in parallel and before the machine's step.

mod client;
pub(crate) mod convert;
mod server;

pub use client::ParticipantClient;
pub use server::ParticipantServer;

use crate::rejection::Rejection;
use crate::state::FreshValue;
use commit::{Descriptor, VoteProof};
use primitives::{AttemptId, Height};
use prost::bytes::Bytes;
use std::future::Future;

/// One attempt with all a participant needs to vote on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// The attempt; checked to describe one.
    pub descriptor: Descriptor,
    /// What the descriptor's payload digest binds: at most [`crate::limits::PREPARED_BYTES_MAX`] bytes, opaque here.
    pub payload: Bytes,
    /// The homes' yes votes, unchecked; empty when the receiver is itself a home (R11).
    pub homes: Vec<VoteProof>,
}

/// A decision and the votes it is said to follow from, unchecked: [`shard::Checks`] makes it a
/// [`commit::DecisionProof`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionClaim {
    /// The attempt; checked to describe one.
    pub descriptor: Descriptor,
    /// Votes of its participants, at most one each.
    pub votes: Vec<VoteProof>,
}

/// A request to vote no on an attempt, unless there is a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortRequest {
    /// The attempt; checked to describe one.
    pub descriptor: Descriptor,
    /// What is said to be the yes of a participant that waits for the answer. A shard answers few requests without one.
    pub waits: Option<VoteProof>,
}

impl From<&Descriptor> for AbortRequest {
    fn from(descriptor: &Descriptor) -> Self {
        Self { descriptor: descriptor.clone(), waits: None }
    }
}

/// What a participant says of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoteAnswer {
    /// Its vote, unchecked.
    Vote {
        /// The vote with its receipt.
        proof: VoteProof,
        /// With a no for a stale witness: what the shard's values are now, as far as it says. Proves nothing.
        hint: Vec<FreshValue>,
    },
    /// It knows nothing of the attempt.
    Unknown,
}

/// Answers to a batch, in its order. An item refused without a vote decides nothing.
pub type Answers<T> = Vec<Result<T, Rejection>>;

/// What a participant shard does for attempts; a service implements it and [`ParticipantServer`] serves it.
///
/// Each call answers every item in order. Answers leave after the step that made them is synced (R2).
/// # Errors
/// A [`Rejection`] of the whole call: busy, draining, store failed.
pub trait ParticipantApi: Send + Sync + 'static {
    /// Votes on attempts; waits until each has a vote.
    fn prepare(&self, prepares: Vec<Prepare>) -> impl Future<Output = Result<Answers<VoteAnswer>, Rejection>> + Send;

    /// The votes and decisions known of attempts.
    fn query_votes(
        &self,
        attempts: Vec<AttemptId>,
    ) -> impl Future<Output = Result<Answers<VoteAnswer>, Rejection>> + Send;

    /// Takes decisions (R8); answers the height at which each became durable.
    fn decide(&self, decisions: Vec<DecisionClaim>) -> impl Future<Output = Result<Answers<Height>, Rejection>> + Send;

    /// Votes no on attempts that have no vote here (R5), and answers the vote that stands (R4).
    fn request_abort(
        &self,
        requests: Vec<AbortRequest>,
    ) -> impl Future<Output = Result<Answers<VoteAnswer>, Rejection>> + Send;
}
