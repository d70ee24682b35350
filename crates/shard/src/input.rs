//! What goes into a shard's machine and what comes out of it.
//!
//! Promise: every input that claims something about elsewhere carries it as [`Verified`]; every input with a ticket gets
//! exactly one reply with that ticket, in the step that took it.

use crate::advance::Advance;
use crate::base::{BASE_VALUES_COUNT_MAX, BaseValue};
use crate::blocks::LeafPlace;
use crate::cheats::{Cheat, CheatRefusal};
use crate::dispatch::DispatchError;
use crate::freshness::Behind;
use crate::heat::HotKey;
#[cfg(doc)]
use crate::limits::HOT_KEYS_TOLD_COUNT_MAX;
use crate::locks::Conflict;
use crate::outcomes::OutcomeRecord;
use crate::retention::Forgetting;
use commit::{Decision, DecisionProof, Descriptor, Rejection, Vote, VoteProof};
use evm::{AccountState, ExecuteError, Executed, FeesKey, LockMode, Missing, RecoveredPayload, StateKey};
use primitives::{AttemptId, Height, ShardId, Slot, Time, Verified};
use proof::{Admission, Certified, Delivery, Equivocation, Fact, MessageError, MessageId, Receipt};
use std::collections::{BTreeMap, BTreeSet};

/// Connects a reply to its input; the host chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What comes in.
#[derive(Debug, Clone)]
pub enum Input {
    /// Execute a payload of which this shard is the only participant. Handing it in again gives the same outcomes.
    Local {
        /// For the reply.
        ticket: Ticket,
        /// The transactions, their senders recovered.
        payload: Box<Verified<RecoveredPayload>>,
    },
    /// Vote on an attempt.
    Prepare {
        /// For the reply.
        ticket: Ticket,
        /// All that the vote needs.
        prepare: Box<Prepare>,
    },
    /// Vote no, if there is no vote yet.
    AbortRequest {
        /// For the reply.
        ticket: Ticket,
        /// On what.
        descriptor: Box<Descriptor>,
        /// A participant's yes, that waits for this shard's vote; whoever shows none is answered only while few do.
        waits: Option<Box<Verified<VoteProof>>>,
    },
    /// End an attempt.
    Decision {
        /// For the reply.
        ticket: Ticket,
        /// The votes that end it.
        proof: Box<DecisionProof>,
    },
    /// Other participants' answers about attempts that are late here (R8). No reply.
    Votes(Vec<Verified<VoteProof>>),
    /// Consume a message.
    Deliver {
        /// For the reply.
        ticket: Ticket,
        /// That its origin sent it.
        fact: Box<Verified<Fact>>,
    },
    /// Consume a message of a foreign chain, or learn how one that left ended there.
    Admit {
        /// For the reply.
        ticket: Ticket,
        /// That a quorum of its route's attestors vouches for it.
        admission: Box<Verified<Admission>>,
    },
    /// Learn how an own message ended.
    Acknowledge {
        /// For the reply.
        ticket: Ticket,
        /// That its destination says so.
        fact: Box<Verified<Fact>>,
    },
    /// Set state, on a network with cheats.
    Cheat {
        /// For the reply.
        ticket: Ticket,
        /// What.
        cheat: Box<Cheat>,
    },
    /// Roots that [`crate::advance`] computed on an earlier snapshot. No reply.
    StateRoots(Advance),
    /// What [`crate::Forgettings`] computed on an earlier snapshot.
    Forget {
        /// For the reply.
        ticket: Ticket,
        /// What goes.
        forgetting: Box<Forgetting>,
    },
    /// What somebody has seen of a shard: of this one, when it asked or when somebody shows it. No reply.
    Sighting {
        /// Which shard was asked; none if nobody was.
        from: Option<ShardId>,
        /// The newest certified header that it has seen, if it has seen any.
        newest: Option<Box<Verified<Certified>>>,
    },
    /// Say what this shard has seen of another.
    Recall {
        /// For the reply.
        ticket: Ticket,
        /// Which.
        shard: ShardId,
    },
    /// Say what is locked here, and which keys new work met locked lately. Nothing is written.
    CountLocks {
        /// For the reply.
        ticket: Ticket,
    },
    /// Take values of the chain that the network was forked from; of a slot with its account, if that is not read.
    Base {
        /// For the reply.
        ticket: Ticket,
        /// At most [`BASE_VALUES_COUNT_MAX`].
        values: Vec<BaseValue>,
    },
    /// Attest up to when all is told, even if nothing happens. Nothing is written.
    Attest {
        /// For the reply.
        ticket: Ticket,
    },
    /// Look at what is late. No reply.
    Tick,
}

impl Input {
    /// The same for another reply.
    #[must_use]
    pub fn with_ticket(mut self, another: Ticket) -> Self {
        match &mut self {
            Self::Local { ticket, .. }
            | Self::Prepare { ticket, .. }
            | Self::AbortRequest { ticket, .. }
            | Self::Decision { ticket, .. }
            | Self::Deliver { ticket, .. }
            | Self::Admit { ticket, .. }
            | Self::Acknowledge { ticket, .. }
            | Self::Recall { ticket, .. }
            | Self::Base { ticket, .. }
            | Self::Cheat { ticket, .. }
            | Self::CountLocks { ticket }
            | Self::Forget { ticket, .. }
            | Self::Attest { ticket } => *ticket = another,
            Self::Votes(_) | Self::StateRoots(_) | Self::Sighting { .. } | Self::Tick => {}
        }
        self
    }
}

/// An attempt to vote on, and everything the vote needs.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// The attempt.
    pub descriptor: Descriptor,
    /// Its payload, the senders recovered.
    pub payload: Verified<RecoveredPayload>,
    /// The payload, replayed under its witness.
    pub executed: Verified<Executed>,
    /// The homes' certified votes; not needed at a home.
    pub homes: Vec<Verified<VoteProof>>,
}

/// What goes to other shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Send {
    /// Ask for the vote on a late attempt, as an abort request; answers come back as [`Input::Votes`] (R8).
    AskVotes {
        /// Whom.
        to: ShardId,
        /// About what.
        descriptor: Descriptor,
        /// This shard's own yes, as others believe it.
        waits: Box<Receipt>,
    },
    /// Ask what another shard has seen of this one; the answer comes back as [`Input::Sighting`] (R14).
    AskSighting {
        /// Whom.
        to: ShardId,
    },
    /// For the host: the store is shown to be the newest; once.
    Shown,
    /// For the host: it is not, so the process must stop (R14); with every step.
    Behind(Behind),
    /// For the host: a shard certified two headers for one height.
    Evidence(Box<Equivocation>),
}

/// What goes back to whoever gave an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Which input.
    pub ticket: Ticket,
    /// What became of it.
    pub answer: Answer,
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A local payload was executed, now or before.
    Executed {
        /// One for each of its transactions.
        outcomes: Vec<OutcomeRecord>,
    },
    /// A local payload was refused and changed nothing.
    LocalRefused(LocalRefusal),
    /// The shard's vote: the same for ever (R2).
    Voted {
        /// What it says.
        vote: Vote,
        /// Its leaf, believable everywhere.
        receipt: Box<Receipt>,
        /// With a no for a stale witness: what the own keys are now. Unsigned; saves a round trip, proves nothing.
        hint: Vec<FreshValue>,
    },
    /// No vote was cast, or a decision was not taken.
    AttemptRefused(AttemptRefusal),
    /// The decision holds here, now or since before.
    Decided {
        /// Which attempt.
        attempt: AttemptId,
        /// How it ended.
        decision: Decision,
        /// The block that says so.
        height: Height,
    },
    /// The message was consumed, now or before.
    Delivered {
        /// How it ended.
        delivery: Delivery,
        /// The delivery's leaf.
        receipt: Box<Receipt>,
        /// Whether this input did it.
        novelty: Novelty,
    },
    /// The message was not consumed; nothing changed.
    DeliverRefused(DeliverRefusal),
    /// The end of an own message is known, now or since before.
    Acknowledged {
        /// Which message.
        message: MessageId,
        /// The block that settled it.
        height: Height,
        /// Whether this input did it.
        novelty: Novelty,
    },
    /// The delivery was not taken; nothing changed.
    AcknowledgeRefused(AcknowledgeRefusal),
    /// Up to when all is told here.
    Attested {
        /// The first slot that is not closed: what is decided later is shown in it or after.
        open: Slot,
        /// No block to come has a time at or before this one.
        time: Time,
        /// The newest block.
        height: Height,
    },
    /// The values of the forked chain are read, now or since before.
    BaseTaken,
    /// They were not taken; nothing changed.
    BaseRefused(BaseRefusal),
    /// State was set.
    Cheated {
        /// The block that set it.
        height: Height,
        /// The slot that it holds from.
        slot: Slot,
    },
    /// State was not set; nothing changed.
    CheatRefused(CheatRefusal),
    /// What is locked here.
    Locks(LockCounts),
    /// What was to go has gone, now or since before.
    Forgot,
    /// What this shard has seen of another.
    Sighting {
        /// The newest certified header.
        newest: Option<Box<Certified>>,
    },
}

impl Answer {
    /// The own key that an input needs, and that has to be read from the forked chain before it comes again.
    pub fn not_read(&self) -> Option<StateKey> {
        let busy = match self {
            Self::LocalRefused(LocalRefusal::Busy(busy))
            | Self::AttemptRefused(AttemptRefusal::Busy(busy))
            | Self::CheatRefused(CheatRefusal::Busy(busy)) => *busy,
            Self::DeliverRefused(refusal) => refusal.busy()?,
            Self::AcknowledgeRefused(refusal) => refusal.busy()?,
            _ => return None,
        };
        if let Busy::NotRead { key } = busy { Some(key) } else { None }
    }
}

/// What is locked on a shard, and which keys are hot: for people, nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockCounts {
    /// Keys that are held.
    pub keys_count: usize,
    /// Attempts that hold them.
    pub holders_count: usize,
    /// Messages and deliveries that wait for a held key.
    pub waiting_count: usize,
    /// The keys that new work met locked most often lately, the hottest first; at most [`HOT_KEYS_TOLD_COUNT_MAX`].
    pub hottest: Vec<HotKey>,
}

/// Whether an input did something or found it done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It took effect in this step.
    New,
    /// It had taken effect before.
    Already,
}

/// One of this shard's values as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FreshValue {
    /// An account; none where there is none.
    Account(alloy_primitives::Address, Option<AccountState>),
    /// A slot.
    Slot(alloy_primitives::Address, alloy_primitives::U256, alloy_primitives::U256),
    /// A fragment of fees.
    Fees(FeesKey, alloy_primitives::U256),
}

/// The shard is at one of its bounds, or a key is held; the same input may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// An undecided attempt holds a key that is needed.
    #[error("{key} is held by {holder}, which is undecided")]
    Locked {
        /// Which key.
        key: StateKey,
        /// How it is needed.
        wanted: LockMode,
        /// Who holds it.
        holder: AttemptId,
    },
    /// The state root lags too far behind.
    #[error("the state root is {lag} blocks behind: new work waits for it")]
    Lagging {
        /// By how many blocks.
        lag: u64,
    },
    /// Too many undecided attempts.
    #[error("{live} attempts are undecided: new work waits for them")]
    Attempts {
        /// How many.
        live: usize,
    },
    /// Too many noes are kept.
    #[error("{kept} noes are kept: more are said when the deadlines of those have passed")]
    Tombstones {
        /// How many.
        kept: usize,
    },
    /// Too many inputs in one step.
    #[error("too many inputs at once")]
    Inputs,
    /// It deploys code at a slot that has not begun here.
    #[error("it deploys code, and its slot {slot} has not begun here")]
    Early {
        /// Its slot.
        slot: Slot,
    },
    /// The store is not shown to be the newest yet (R14).
    #[error("this shard is asking the others what they have seen of it, and signs nothing until then")]
    Asking,
    /// The store is not the newest (R14).
    #[error(transparent)]
    Behind(#[from] Behind),
    /// A key's value has to be read from the forked chain first.
    #[error("{key} is not read from the forked chain yet")]
    NotRead {
        /// Which.
        key: StateKey,
    },
    /// A shard that takes part certified two blocks of one height.
    #[error("shard {shard} certified two blocks of one height: nothing it says is believed until an operator decides")]
    Disbelieved {
        /// Which.
        shard: ShardId,
    },
}

impl Busy {
    /// Busy because of a lock.
    pub(crate) fn locked(conflict: Conflict) -> Self {
        let Conflict { key, wanted, holder } = conflict;
        Self::Locked { key, wanted, holder }
    }
}

/// A slot that this shard does not take now: too far from its time (R10), or before what touched the same keys (R13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot} is not taken: this shard takes slot {taken}")]
pub struct SlotRefused {
    /// The payload's slot.
    pub slot: Slot,
    /// One that would be taken now.
    pub taken: Slot,
}

/// Why a local payload is refused. The caller's fault unless it says busy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalRefusal {
    /// Not now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// It touches other shards: it needs an attempt.
    #[error("not local: it touches {} values of other shards", .missing.len())]
    NotLocal {
        /// Values of other shards, as far as they are known.
        missing: BTreeSet<Missing>,
    },
    /// Its slot is too old or too early.
    #[error(transparent)]
    Slot(#[from] SlotRefused),
    /// It can not be executed as it is: nonce, funds, gas, a failed bundle.
    #[error("{0}")]
    Execution(ExecuteError),
    /// It sends a message that nobody could deliver.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
}

/// Why an attempt's input was not acted on. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptRefusal {
    /// By the rules of commit.
    #[error(transparent)]
    Commit(#[from] Rejection),
    /// Not now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The execution touches other shards than the attempt names.
    #[error("the attempt names participants {named:?}, the execution touches {executed:?}")]
    Participants {
        /// The descriptor's.
        named: BTreeSet<ShardId>,
        /// By this shard's placement.
        executed: BTreeSet<ShardId>,
    },
    /// The senders live on other shards than the attempt's homes.
    #[error("the attempt names homes {named:?}, the senders are at {executed:?}")]
    Homes {
        /// The descriptor's.
        named: BTreeSet<ShardId>,
        /// By this shard's placement.
        executed: BTreeSet<ShardId>,
    },
}

/// Why a message was not consumed. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliverRefusal {
    /// Not now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The fact is no message of the shard that said it.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Its origin has certified that it has taken its end: it is over, and no record of it may be here.
    #[error(
        "{message} is over: its origin has taken the end of all messages with a nonce below {before}, this has {nonce}"
    )]
    Over {
        /// Which.
        message: MessageId,
        /// Its nonce.
        nonce: u32,
        /// Before which nonce all have ended.
        before: u32,
    },
    /// It is for another domain.
    #[error("the message is for domain {actual:#x}, this is {expected:#x}")]
    WrongDestination {
        /// This shard's domain.
        expected: u32,
        /// The message's.
        actual: u32,
    },
}

impl DeliverRefusal {
    /// Why not now, if that is all.
    pub(crate) fn busy(&self) -> Option<Busy> {
        if let Self::Busy(busy) = self { Some(*busy) } else { None }
    }
}

impl AcknowledgeRefusal {
    /// Why not now, if that is all.
    pub(crate) fn busy(&self) -> Option<Busy> {
        if let Self::Busy(busy) = self { Some(*busy) } else { None }
    }
}

/// Why the end of a message was not taken. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcknowledgeRefusal {
    /// Not now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The fact is no delivery of the shard that said it.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// This shard never sent it.
    #[error("{message} was not sent by this shard")]
    UnknownMessage {
        /// Which.
        message: MessageId,
    },
    /// It is not among what is kept: its end was taken and it was forgotten with the block that sent it, if it ever was sent here.
    #[error(
        "{message} is over: this shard keeps what it sent from block {first} on, and before that what has not ended"
    )]
    Over {
        /// Which.
        message: MessageId,
        /// The first block whose messages are kept in any case.
        first: Height,
    },
    /// Another shard than the message's destination says how it ended.
    #[error("the message went to domain {expected:#x}, domain {actual:#x} speaks of it")]
    WrongDestination {
        /// Where it went.
        expected: u32,
        /// Who speaks.
        actual: u32,
    },
}

/// Why values of a forked chain were not taken. The host's own fault unless it says busy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseRefusal {
    /// Not now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The network began with its genesis and nothing else.
    #[error("this network was not forked from another chain")]
    NotForked,
    /// Another shard's.
    #[error("{key} belongs to another shard")]
    Foreign {
        /// Which.
        key: StateKey,
    },
    /// Too many at once.
    #[error("{actual} values at once where at most {BASE_VALUES_COUNT_MAX} are allowed")]
    TooMany {
        /// How many.
        actual: usize,
    },
    /// A slot, without the account whose it is.
    #[error("a slot of {address}, and that account is not read")]
    NoAccount {
        /// Whose.
        address: alloy_primitives::Address,
    },
}

/// A reply that still needs the block of its step.
#[derive(Debug)]
pub(crate) enum Pending {
    /// Complete.
    Ready(Answer),
    /// A vote, whose receipt is made when the block is sealed.
    Vote {
        /// The vote.
        vote: Vote,
        /// Its leaf.
        place: LeafPlace,
        /// Fresh values, if it is a stale no.
        hint: Vec<FreshValue>,
    },
    /// A delivery, likewise.
    Delivery {
        /// The delivery.
        delivery: Delivery,
        /// Its leaf.
        place: LeafPlace,
        /// Whether this step did it.
        novelty: Novelty,
    },
}

impl From<Answer> for Pending {
    fn from(answer: Answer) -> Self {
        Self::Ready(answer)
    }
}

/// The epochs and ids of `participants`.
pub(crate) fn shards_of<T>(participants: &BTreeMap<ShardId, T>) -> BTreeSet<ShardId> {
    participants.keys().copied().collect()
}
