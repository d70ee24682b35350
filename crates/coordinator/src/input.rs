//! What goes into a coordinator's machine and what comes out of it.
//!
//! Promise: every submission gets exactly one last event, [`Event::Committed`] or [`Event::Refused`], and none after it.
//! From the first [`Event::Executed`], [`Event::Queued`] or [`Event::AwaitsNonce`] on it is accepted ([`crate::kept`]).

use crate::cache::StateValue;
use crate::fetch::FetchId;
use crate::refusal::Refusal;
use crate::runs::{Job, Ran};
use alloy_primitives::{Address, B256};
use commit::coordinator::Objection;
use commit::{Decision, DecisionProof, Descriptor, Verdict, VoteProof};
use evm::{Data, Executed, Outcome, Payload, RecoveredPayload, StateKey, Travels};
use primitives::{AttemptId, ShardId, Slot, Time, Verified};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names a submission; the host chooses it and never uses one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A key with its value.
pub type StateKeyValue = (StateKey, StateValue);

/// What comes in.
#[derive(Debug, Clone)]
pub enum Input {
    /// Commit these transactions: one, a bundle, or a replay's payload.
    ///
    /// A slot in its environment is only where the senders were recovered: each try runs at the slot of its own time.
    Submit {
        /// For the replies.
        ticket: Ticket,
        /// The transactions, their senders recovered.
        payload: Box<Verified<RecoveredPayload>>,
    },
    /// What time it is from some slot on, for whoever runs then: on a network with cheats.
    Travel(Travels),
    /// State was set past this coordinator: what it believes of it is forgotten. On a network with cheats.
    Forget,
    /// A shard's answer to a fetch.
    Fetched {
        /// Which fetch.
        fetch: FetchId,
        /// A value for every key asked for.
        values: Vec<StateKeyValue>,
        /// The codes asked for.
        codes: Vec<Data>,
    },
    /// A shard's answer to a fetch of proofs.
    FetchedProofs {
        /// Which fetch.
        fetch: FetchId,
        /// For the accounts asked for, what proves their code; `None` for one that cannot be proven, or not yet.
        proofs: Vec<(Address, Option<ProvenCode>)>,
    },
    /// A fetch that failed.
    FetchFailed {
        /// Which fetch.
        fetch: FetchId,
    },
    /// A fetch that its shard answered: it cannot have these values now, since the chain it was forked from does not give them.
    FetchRefused {
        /// Which fetch.
        fetch: FetchId,
        /// In the shard's words.
        reason: String,
    },
    /// Participants' votes.
    Votes(Votes),
    /// A participant would not act on a prepare, a decision or an abort request.
    Rejected {
        /// On which attempt.
        attempt: AttemptId,
        /// Who.
        shard: ShardId,
        /// Whether that may change.
        objection: Objection,
    },
    /// A participant has carried out the decision.
    Applied {
        /// Of which attempt.
        attempt: AttemptId,
        /// Who.
        shard: ShardId,
    },
    /// A run was made beside the step.
    Ran(Box<Ran>),
    /// A shard's answer to a local submission.
    Local {
        /// Which submission.
        ticket: Ticket,
        /// What became of it.
        answer: LocalAnswer,
    },
}

/// A code with what proves that it is where it is, checked by the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenCode {
    /// keccak256 of the code.
    pub hash: B256,
    /// Since when at the latest. A run at a slot that was over before then cannot go by it.
    pub since: Time,
    /// What participants ask for instead of the owner's vote; opaque here.
    pub proof: Data,
}

/// Votes, and what came beside them.
#[derive(Debug, Clone, Default)]
pub struct Votes {
    /// Certified.
    pub votes: Vec<Verified<VoteProof>>,
    /// What the voters that found the witness stale say their values are. Unproven: only a guess for the next try.
    pub hints: Vec<StateKeyValue>,
}

/// What became of a local submission at its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAnswer {
    /// Executed, now or before: an outcome for each transaction.
    Executed(Vec<Outcome>),
    /// It touches other shards.
    NotLocal,
    /// Not now: a lock, a bound.
    Later,
    /// Not at its slot (R10, R13).
    Slot {
        /// One that would be taken.
        taken: Slot,
    },
    /// It cannot be executed on the shard's present state, in the shard's words.
    Refused(String),
    /// No answer; whether it was executed is unknown.
    Unreachable,
}

/// What goes to shards, one of each kind per shard and step; and to the host.
#[derive(Debug, Clone)]
pub enum Send {
    /// Make a run on another thread; answered by [`Input::Ran`]. One that is lost is asked for again.
    Run(Job),
    /// Read values; answered by [`Input::Fetched`].
    Fetch {
        /// Whose.
        shard: ShardId,
        /// For the answer.
        fetch: FetchId,
        /// At most [`crate::FETCH_KEYS_COUNT_MAX`].
        keys: Vec<StateKey>,
        /// Codes by keccak256, at most [`crate::FETCH_CODES_COUNT_MAX`].
        codes: Vec<B256>,
    },
    /// Prove the codes of accounts; answered by [`Input::FetchedProofs`].
    FetchProofs {
        /// Whose.
        shard: ShardId,
        /// For the answer.
        fetch: FetchId,
        /// At most [`crate::FETCH_PROOFS_COUNT_MAX`].
        accounts: Vec<Address>,
    },
    /// Execute payloads that concern this shard alone, in order; each answered by [`Input::Local`].
    SubmitLocal {
        /// Where.
        shard: ShardId,
        /// In order.
        batch: Vec<LocalSubmission>,
    },
    /// Vote on attempts; answered by [`Input::Votes`] or [`Input::Rejected`].
    Prepare {
        /// Whom.
        shard: ShardId,
        /// In the order they came.
        batch: Vec<Prepare>,
    },
    /// Vote no on attempts that have no vote; answered likewise.
    RequestAbort {
        /// Whom.
        shard: ShardId,
        /// On what.
        batch: Vec<Arc<Descriptor>>,
    },
    /// Carry out decisions; each answered by [`Input::Applied`] or [`Input::Rejected`].
    Decide {
        /// Whom.
        shard: ShardId,
        /// The decisions.
        batch: Vec<Arc<DecisionProof>>,
    },
}

impl Send {
    /// To which shard it goes; none if the host has it.
    pub fn shard(&self) -> Option<ShardId> {
        match self {
            Self::Run(_) => None,
            Self::Fetch { shard, .. }
            | Self::FetchProofs { shard, .. }
            | Self::SubmitLocal { shard, .. }
            | Self::Prepare { shard, .. }
            | Self::RequestAbort { shard, .. }
            | Self::Decide { shard, .. } => Some(*shard),
        }
    }
}

/// A payload for the one shard it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSubmission {
    /// For the answer.
    pub ticket: Ticket,
    /// What to execute.
    pub payload: Payload,
}

/// An attempt to vote on.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// The attempt.
    pub descriptor: Arc<Descriptor>,
    /// Canonical bytes of [`evm::Prepared`].
    pub payload: Arc<[u8]>,
    /// The homes' yes votes; empty at a home (R11).
    pub homes: Vec<Verified<VoteProof>>,
    /// Gas that its run here was charged, which a replay is charged as well.
    pub gas: u64,
}

/// What goes back to whoever submitted.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Which submission.
    pub ticket: Ticket,
    /// When, by the coordinator's clock.
    pub time: Time,
    /// What happened.
    pub event: Event,
}

/// An event in the life of a submission.
#[derive(Debug, Clone)]
pub enum Event {
    /// Taken in.
    Accepted,
    /// Executed over the view cache.
    Executed {
        /// The shards it touches.
        participants: BTreeSet<ShardId>,
    },
    /// Waits for another submission that needs the same key.
    Queued {
        /// Which key.
        key: StateKey,
    },
    /// Waits for an earlier nonce of the same sender.
    AwaitsNonce {
        /// Its own nonce.
        transaction: u64,
        /// The sender's next.
        state: u64,
    },
    /// Handed to the one shard it concerns.
    SentLocally {
        /// Which.
        shard: ShardId,
    },
    /// An attempt has begun.
    Preparing {
        /// Which.
        attempt: AttemptId,
        /// The try's number, from 1.
        number: u32,
    },
    /// A vote arrived.
    Voted {
        /// On which attempt.
        attempt: AttemptId,
        /// Whose.
        shard: ShardId,
        /// Yes or no, and why.
        verdict: Verdict,
    },
    /// The attempt is decided. A commit is final from here on; an abort is tried again or refused.
    Decided {
        /// Which.
        attempt: AttemptId,
        /// How.
        decision: Decision,
        /// The votes that say so.
        proof: Arc<DecisionProof>,
    },
    /// Last: final, and applied on every shard that said so in time. Whoever was silent applies it when it is back.
    Committed(Box<Committed>),
    /// Last: refused.
    Refused(Box<Refusal>),
}

/// What a committed submission did.
#[derive(Debug, Clone)]
pub struct Committed {
    /// One for each of its transactions, in order.
    pub outcomes: Vec<Outcome>,
    /// The shards it touched.
    pub participants: BTreeSet<ShardId>,
    /// How many codes it ran that are proven to be what they are, so that their owners had no vote.
    pub proven_codes: usize,
    /// The decision and its votes, if it touched several. A local one is proven by its outcome's receipt.
    pub proof: Option<Arc<DecisionProof>>,
}

impl Committed {
    pub(crate) fn of(executed: &Executed, proof: Option<Arc<DecisionProof>>) -> Self {
        Self {
            outcomes: executed.effects.outcomes.clone(),
            participants: executed.participants.clone(),
            proven_codes: executed.witness.fixed.len(),
            proof,
        }
    }

    /// The attempt that committed, if it touched several shards.
    pub fn attempt(&self) -> Option<AttemptId> {
        self.proof.as_ref().map(|proof| proof.attempt())
    }
}
