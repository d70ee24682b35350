//! `CoordinatorService`: where users submit transactions and follow them.

mod client;
mod convert;
mod server;

pub use client::CoordinatorClient;
pub use server::CoordinatorServer;

use crate::participant::DecisionClaim;
use crate::rejection::Rejection;
use alloy_primitives::B256;
use evm::{Data, NetworkParams, Outcome, Payload, Placement};
use primitives::{AttemptId, ShardId, Time};
use proof::ValidatorSet;
use std::collections::BTreeSet;
use std::future::Future;

/// A submission, or a transaction in it, by which it is found: a transaction's hash or a payload's digest.
pub type SubmissionId = B256;

/// An accepted transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionAccepted {
    /// The submission.
    pub id: SubmissionId,
    /// What became of it, if it had ended when it was answered.
    pub ended: Option<Submission>,
}

/// An accepted bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleAccepted {
    /// The submission.
    pub id: SubmissionId,
    /// Its transactions' hashes, in order.
    pub transactions: Vec<B256>,
}

/// The stages of a submission's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LifeStage {
    /// Taken in and durable at the coordinator.
    Accepted,
    /// Executed over the view cache; participants are known.
    Executed,
    /// Waits for another submission that needs the same keys, or for an earlier nonce of its sender.
    Queued,
    /// Handed to the one shard it concerns.
    SentLocally,
    /// A shard was asked to prepare.
    Preparing,
    /// A shard's vote arrived.
    Voted,
    /// All votes of an attempt are in.
    Decided,
    /// Final: every participant applied the commit.
    Committed,
    /// Final: nothing happened on any shard.
    Refused,
}

impl LifeStage {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Committed | Self::Refused)
    }
}

/// One event of a submission's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeEvent {
    /// Its number, from 1 without gaps.
    pub number: u32,
    /// When, by the coordinator's clock. For people: nothing is decided by it.
    pub time: Time,
    /// What happened.
    pub stage: LifeStage,
    /// The attempt; none before the first.
    pub attempt: Option<AttemptId>,
    /// The shard concerned.
    pub shard: Option<ShardId>,
    /// For a person: why, with what.
    pub detail: String,
}

/// What is known of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its last event.
    pub last: LifeEvent,
    /// Its shards; empty before the first execution.
    pub participants: BTreeSet<ShardId>,
    /// Once committed: what each of its transactions did, in order.
    pub outcomes: Vec<Outcome>,
    /// Once refused: why.
    pub rejection: Option<Rejection>,
    /// Once decided across shards: the decision, unchecked.
    pub decision: Option<DecisionClaim>,
}

/// A shard as others find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// The shard.
    pub shard: ShardId,
    /// Where its gRPC services are, as a URI.
    pub endpoint: String,
    /// Who certifies its blocks, and in which epoch.
    pub validators: ValidatorSet,
}

/// The network as a coordinator was configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// What all shards agree on.
    pub params: NetworkParams,
    /// Which shard owns what.
    pub placement: Placement,
    /// The shards, in order.
    pub shards: Vec<ShardInfo>,
}

/// What a coordinator offers; a service implements it and [`CoordinatorServer`] serves it.
///
/// # Errors
/// A [`Rejection`]: the transaction's fault in its own reasons, or busy, draining.
pub trait CoordinatorApi: Send + Sync + 'static {
    /// Takes a signed transaction; answers once it is accepted.
    fn submit_transaction(&self, transaction: Data) -> impl Future<Output = Result<SubmissionId, Rejection>> + Send;

    /// Takes signed transactions to be committed in order, all or none; at least one.
    fn submit_bundle(&self, transactions: Vec<Data>) -> impl Future<Output = Result<BundleAccepted, Rejection>> + Send;

    /// Takes a whole payload; replay networks only.
    fn submit_payload(&self, payload: Payload) -> impl Future<Output = Result<SubmissionId, Rejection>> + Send;

    /// Events of a submission after number `after`, in order; waits until there is one.
    fn wait_events(
        &self,
        id: SubmissionId,
        after: u32,
    ) -> impl Future<Output = Result<Vec<LifeEvent>, Rejection>> + Send;

    /// What is known of a submission; [`crate::Reason::NotFound`] if nothing.
    fn submission(&self, id: SubmissionId) -> impl Future<Output = Result<Submission, Rejection>> + Send;

    /// The network.
    fn network(&self) -> impl Future<Output = Result<Network, Rejection>> + Send;
}
