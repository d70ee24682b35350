//! Calls between parties: what the services of a real network say over gRPC, as values.

use alloy_primitives::{Address, B256};
use commit::{Descriptor, VoteProof};
use coordinator::StateValue;
use evm::{Data, Payload, StateKey};
use primitives::{AttemptId, Height, ShardId, Slot};
use proof::{Certified, LeafKind, MessageId, Receipt};
use relay::Leg;
use shard::{CodeProof, FreshValue, LeafPlace, Novelty, OutcomeRecord};
use std::sync::Arc;

/// One call; an answer carries the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a shard is asked.
#[derive(Debug, Clone)]
pub enum Request {
    /// Values of its keys, and codes by their hash.
    Read {
        /// Which values.
        keys: Vec<StateKey>,
        /// Which codes.
        codes: Vec<B256>,
    },
    /// To prove the codes of accounts.
    Prove(Vec<Address>),
    /// To execute payloads that concern it alone.
    SubmitLocal(Vec<Payload>),
    /// To vote.
    Prepare(Vec<PrepareClaim>),
    /// To vote no, unless it has voted.
    RequestAbort(Vec<AbortClaim>),
    /// How it voted, if it did.
    QueryVotes(Vec<AttemptId>),
    /// To carry decisions out.
    Decide(Vec<DecisionClaim>),
    /// For message and delivery leaves of its outbox.
    Outbox {
        /// The first leaf wanted.
        from: LeafPlace,
        /// How many at most.
        count_max: usize,
    },
    /// To take receipts of messages and of deliveries.
    Deliver(Vec<Receipt>),
    /// Whether it has these messages: as their destination consumed, or as their origin been told how they ended.
    Has {
        /// As which of the two.
        leg: Leg,
        /// Which.
        messages: Vec<MessageId>,
    },
    /// What it has seen of a shard.
    Sighting(ShardId),
}

/// An attempt to vote on, unchecked.
#[derive(Debug, Clone)]
pub struct PrepareClaim {
    /// The attempt.
    pub descriptor: Arc<Descriptor>,
    /// Canonical bytes of [`evm::Prepared`].
    pub payload: Arc<[u8]>,
    /// What is said to be the homes' votes.
    pub homes: Vec<VoteProof>,
}

/// An attempt to vote no on, unchecked.
#[derive(Debug, Clone)]
pub struct AbortClaim {
    /// The attempt.
    pub descriptor: Descriptor,
    /// What is said to be a participant's yes that waits for the answer.
    pub waits: Option<VoteProof>,
}

impl From<&Descriptor> for AbortClaim {
    fn from(descriptor: &Descriptor) -> Self {
        Self { descriptor: descriptor.clone(), waits: None }
    }
}

/// A decision to carry out, unchecked.
#[derive(Debug, Clone)]
pub struct DecisionClaim {
    /// The attempt.
    pub descriptor: Descriptor,
    /// What is said to be its votes.
    pub votes: Vec<VoteProof>,
}

/// What comes back.
#[derive(Debug, Clone)]
pub enum Response {
    /// To [`Request::Read`].
    Values {
        /// One for each key.
        values: Vec<StateValue>,
        /// Those it has.
        codes: Vec<Data>,
    },
    /// To [`Request::Prove`]: one for each account, where there is a code that can be proven.
    Proofs(Vec<Option<CodeProof>>),
    /// One for each item of the request, in order.
    Done(Vec<Result<Done, Rejection>>),
    /// To [`Request::Outbox`].
    Page {
        /// The leaves' receipts.
        receipts: Vec<Receipt>,
        /// The first leaf not looked at.
        next: LeafPlace,
        /// The newest block.
        head: Height,
    },
    /// To [`Request::Has`]: one for each message, in order.
    Has(Vec<bool>),
    /// To [`Request::Sighting`]: the newest certified header, if it has seen one.
    Sighting(Option<Box<Certified>>),
    /// No answer: refused connection, reset stream, or a deadline gone by. It may have taken effect.
    Failed,
}

/// What a shard did about one item.
#[derive(Debug, Clone)]
pub enum Done {
    /// Executed, now or before.
    Executed(Vec<OutcomeRecord>),
    /// Its vote, and with a stale no what its values are.
    Voted {
        /// The vote.
        proof: VoteProof,
        /// Unproven.
        hint: Vec<FreshValue>,
    },
    /// It knows nothing of the attempt.
    Unknown,
    /// Carried out, now or before, in this block.
    Decided(Height),
    /// Taken, now or before; with a delivery's receipt.
    Delivered {
        /// Whether now.
        novelty: Novelty,
        /// The delivery leaf's.
        receipt: Option<Box<Receipt>>,
    },
}

/// What a caller does about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same request may be taken later.
    Later,
    /// It touches other shards.
    NotLocal,
    /// Another slot would do.
    Slot {
        /// One that would be taken.
        taken: Slot,
    },
    /// Another environment would do.
    Environment,
    /// It is over, and forgotten.
    Settled,
    /// Never.
    Never,
}

/// Why a shard did nothing about one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What follows.
    pub remedy: Remedy,
    /// In the shard's words.
    pub text: String,
}

impl Request {
    /// How many items it has.
    pub fn count(&self) -> usize {
        match self {
            Self::SubmitLocal(items) => items.len(),
            Self::Prepare(items) => items.len(),
            Self::RequestAbort(items) => items.len(),
            Self::QueryVotes(items) => items.len(),
            Self::Decide(items) => items.len(),
            Self::Deliver(items) => items.len(),
            Self::Read { .. } | Self::Prove(_) | Self::Outbox { .. } | Self::Sighting(_) => 1,
            Self::Has { messages, .. } => messages.len(),
        }
    }

    /// The first `count` of its items.
    #[must_use]
    pub(crate) fn prefix(mut self, count: usize) -> Self {
        match &mut self {
            Self::SubmitLocal(items) => items.truncate(count),
            Self::Prepare(items) => items.truncate(count),
            Self::RequestAbort(items) => items.truncate(count),
            Self::QueryVotes(items) => items.truncate(count),
            Self::Decide(items) => items.truncate(count),
            Self::Deliver(items) => items.truncate(count),
            Self::Read { .. } | Self::Prove(_) | Self::Outbox { .. } | Self::Has { .. } | Self::Sighting(_) => {}
        }
        self
    }

    /// Whether a node whose disk is full takes it: what ends things does, what begins them does not.
    pub(crate) fn is_new_work(&self) -> bool {
        match self {
            Self::SubmitLocal(_) | Self::Prepare(_) => true,
            Self::RequestAbort(claims) => claims.iter().any(|claim| claim.waits.is_none()),
            Self::Deliver(receipts) => receipts.iter().any(|receipt| receipt.leaf.kind == LeafKind::Message),
            Self::Decide(_)
            | Self::QueryVotes(_)
            | Self::Read { .. }
            | Self::Prove(_)
            | Self::Outbox { .. }
            | Self::Has { .. }
            | Self::Sighting(_) => false,
        }
    }

    /// Whether it may change something; what only looks is no work in flight.
    pub fn is_work(&self) -> bool {
        !matches!(
            self,
            Self::Read { .. }
                | Self::Prove(_)
                | Self::Outbox { .. }
                | Self::QueryVotes(_)
                | Self::Has { .. }
                | Self::Sighting(_)
        )
    }

    /// A short name for stories and digests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Prove(_) => "prove",
            Self::SubmitLocal(_) => "submit",
            Self::Prepare(_) => "prepare",
            Self::RequestAbort(_) => "abort request",
            Self::QueryVotes(_) => "vote query",
            Self::Decide(_) => "decide",
            Self::Outbox { .. } => "outbox",
            Self::Deliver(_) => "deliver",
            Self::Has { .. } => "has",
            Self::Sighting(_) => "sighting",
        }
    }
}
