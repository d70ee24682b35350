//! What goes into a relay's machine and what comes out of it.

use crate::{
    command::{Command, CommandError},
    lane::Cursor,
    record::Leg,
};
use primitives::{Height, ShardId, Verified};
use proof::{Fact, MessageError, MessageId, Receipt, ReceiptError, ReceiptVerifier};

/// A receipt that was checked: the fact and the bytes it came from, which cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    fact: Verified<Fact>,
    receipt: Vec<u8>,
}

impl Carried {
    /// The receipt in `bytes`, if `verifier` believes it. There is no way to make one but this and [`Carried::of`].
    pub fn check(verifier: &ReceiptVerifier, bytes: Vec<u8>) -> Result<Self, ReceiptError> {
        Ok(Self { fact: Verified::by(verifier, bytes.as_slice())?, receipt: bytes })
    }

    /// The same for a receipt that is decoded already.
    pub fn of(verifier: &ReceiptVerifier, receipt: Receipt) -> Result<Self, ReceiptError> {
        let bytes = receipt.to_bytes();
        Ok(Self { fact: Verified::by(verifier, receipt)?, receipt: bytes })
    }

    /// What it says.
    pub fn fact(&self) -> &Fact {
        &self.fact
    }

    /// The canonical receipt.
    pub fn receipt(&self) -> &[u8] {
        &self.receipt
    }

    /// Where in its shard's outbox it stands.
    pub fn position(&self) -> Cursor {
        Cursor { height: self.fact.height, index: self.fact.index }
    }
}

/// Names a delivery or an acknowledgement under way. An answer from before the machine was opened must not be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Ties a reply to its input; drawn by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What comes in.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "inputs are moved once, into a step's batch")]
pub enum Input {
    /// The message and delivery leaves of `shard`'s outbox from `from` up to `next`, all of them, in order.
    Page {
        /// Whose outbox.
        shard: ShardId,
        /// The cursor that was asked for.
        from: Cursor,
        /// The leaves; those of other kinds are ignored.
        leaves: Vec<Carried>,
        /// The first leaf not looked at.
        next: Cursor,
        /// The shard's newest block.
        head: Height,
    },
    /// The fetch from `shard` failed, or what came did not verify.
    FetchFailed {
        /// Whose outbox.
        shard: ShardId,
        /// For a person.
        reason: String,
    },
    /// `shard` has said something new: worth asking at once.
    News {
        /// Which shard.
        shard: ShardId,
    },
    /// Someone hands a receipt in, as if it had been read from an outbox.
    Submit {
        /// For the reply.
        ticket: Ticket,
        /// The receipt.
        carried: Carried,
    },
    /// A batch was answered; a parcel without an answer counts as refused for now.
    Answered {
        /// Which batch.
        batch: BatchId,
        /// What became of each parcel.
        answers: Vec<Answer>,
    },
    /// A batch could not be handed over, or its answer was lost. It may have taken effect.
    Unreachable {
        /// Which batch.
        batch: BatchId,
        /// For a person.
        reason: String,
    },
    /// An operator's command.
    Command {
        /// For the reply.
        ticket: Ticket,
        /// What is wanted.
        command: Command,
    },
    /// Time has passed.
    Tick,
}

/// What a shard said to one parcel.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The message the parcel is of.
    pub message: MessageId,
    /// What became of it.
    pub taken: Taken,
}

/// What became of one parcel.
#[derive(Debug, Clone)]
pub enum Taken {
    /// It took effect now; for a message perhaps with the receipt of its delivery leaf.
    Now(Option<Carried>),
    /// It had taken effect before, by another relay or before a restart.
    Already(Option<Carried>),
    /// The receiver does not have it: only to [`Send::Look`].
    Absent,
    /// It was refused.
    Refused {
        /// Whether it may be tried again.
        refusal: Refusal,
        /// For a person.
        reason: String,
    },
}

/// Whether a refusal is the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The same parcel may be taken later: a lock, a full step, a full disk, a shard that is not as it should be.
    Retryable,
    /// It never will, whatever becomes of the shard: it is given up.
    Final,
    /// What it brings ended before, so long ago that its receiver keeps no record of it: there is nothing left to carry.
    Over,
}

/// One receipt to be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The message it is about.
    pub message: MessageId,
    /// The canonical receipt.
    pub receipt: Vec<u8>,
}

/// What goes to shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Send {
    /// Fetch leaves of kinds message and delivery, then say [`Input::Page`] or [`Input::FetchFailed`].
    FetchOutbox {
        /// Whose outbox.
        shard: ShardId,
        /// The first leaf wanted.
        cursor: Cursor,
        /// How many leaves at most.
        count_max: u32,
    },
    /// Hand receipts of messages to their destination, then say [`Input::Answered`] or [`Input::Unreachable`].
    Deliver {
        /// Names the answer.
        batch: BatchId,
        /// Where to.
        shard: ShardId,
        /// What.
        parcels: Vec<Parcel>,
    },
    /// Hand receipts of deliveries to their messages' origin; answered like a delivery.
    Acknowledge {
        /// Names the answer.
        batch: BatchId,
        /// Where to.
        shard: ShardId,
        /// What.
        parcels: Vec<Parcel>,
    },
    /// Ask which of these messages the shard has already, then say [`Input::Answered`] with [`Taken::Already`] or
    /// [`Taken::Absent`] for each, or [`Input::Unreachable`].
    Look {
        /// Names the answer.
        batch: BatchId,
        /// Whom.
        shard: ShardId,
        /// Whether as their destination, which has consumed them, or as their origin, which knows how they ended.
        leg: Leg,
        /// Which.
        messages: Vec<MessageId>,
    },
    /// For the host: this relay carries in the place of another that was silent.
    TookOver {
        /// Where from.
        from: ShardId,
        /// Where to.
        to: ShardId,
        /// Messages or deliveries.
        leg: Leg,
    },
    /// For the host: another carries there again.
    Yielded {
        /// Where from.
        from: ShardId,
        /// Where to.
        to: ShardId,
        /// Messages or deliveries.
        leg: Leg,
    },
    /// For the host: a shard has lost blocks that were read before. Nothing of it is read until it has them again.
    Beyond {
        /// Which shard.
        shard: ShardId,
        /// Up to which block it was read.
        read: Height,
        /// Its newest block.
        head: Height,
    },
    /// For the host: it has them again.
    Within {
        /// Which shard.
        shard: ShardId,
    },
}

/// What goes back to whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Input::Submit`], after it is durable.
    Submitted {
        /// Whose.
        ticket: Ticket,
        /// What became of it.
        result: Result<Submission, SubmitError>,
    },
    /// To [`Input::Command`], after it is durable.
    Commanded {
        /// Whose.
        ticket: Ticket,
        /// What became of it.
        result: Result<(), CommandError>,
    },
}

/// A submitted receipt that this relay has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// Taken in now.
    Accepted(MessageId),
    /// Taken in before; nothing changed.
    Duplicate(MessageId),
}

/// Why a submitted receipt is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The fact is no message and no delivery, or a malformed one.
    #[error(transparent)]
    Leaf(#[from] MessageError),
    /// Its other end is no shard this relay carries to.
    #[error("no route leads to domain {domain:#010x}")]
    NoRoute {
        /// The domain it is for.
        domain: u32,
    },
    /// The lane it belongs on is full; hand it in again later.
    #[error("the queue from shard {from} to shard {to} is full")]
    Full {
        /// Where the lane starts.
        from: ShardId,
        /// Where it ends.
        to: ShardId,
    },
}
