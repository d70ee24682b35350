//! Why a shard says no: as a vote ([`Refusal`]), or without voting at all ([`Rejection`]).
//!
//! The difference matters. A refusal is a certified, permanent no: it decides the attempt. A rejection leaves no trace and
//! decides nothing: the message was not one this shard can vote on (yet).

use crate::DescriptorError;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{AttemptId, Digest, Epoch, NetworkId, ShardId, Slot, Time};

/// Most bytes of text in a [`Refusal::Invalid`].
pub const DETAIL_BYTES_MAX: usize = 256;

/// Why a vote is no. Part of the certified vote, so bounded and canonical.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error, BorshSerialize, BorshDeserialize)]
pub enum Refusal {
    /// The shard's block time had reached the deadline (R5, R10).
    #[error("expired: deadline {deadline}, block time {now}")]
    Expired {
        /// The attempt's deadline.
        deadline: Time,
        /// The shard's block time.
        now: Time,
    },
    /// Somebody asked to abort before this shard had voted (R5).
    #[error("asked to abort before it voted")]
    AbortRequested,
    /// The attempt had already been decided by another's no.
    #[error("already aborted by another participant")]
    AlreadyAborted,
    /// A value of this shard in the witness is not its current value.
    #[error("the witness is stale")]
    Stale,
    /// Its slot is out of bounds (R10), or before one that read or wrote what it needs (R13).
    #[error("its slot is not taken: slot {taken} is")]
    Slot {
        /// One that would be taken.
        taken: Slot,
    },
    /// Another undecided attempt holds a lock that this one needs; nobody waits for locks.
    #[error("conflicts with {holder}")]
    Conflict {
        /// Who holds it.
        holder: AttemptId,
    },
    /// Executing under the witness gives other effects than the payload claims.
    #[error("execution gives effects {computed}, not those claimed")]
    WrongEffects {
        /// What this shard computed.
        computed: Digest,
    },
    /// The payload can never commit as it is: signature, nonce, funds, gas.
    #[error("invalid ({code}): {detail}")]
    Invalid {
        /// The execution layer's code.
        code: u16,
        /// Its words, at most [`DETAIL_BYTES_MAX`] bytes.
        detail: String,
    },
    /// The shard is at one of its bounds.
    #[error("busy")]
    Busy,
}

impl Refusal {
    /// An [`Refusal::Invalid`], its text cut to [`DETAIL_BYTES_MAX`] bytes.
    pub fn invalid(code: u16, detail: &str) -> Self {
        let mut end = detail.len().min(DETAIL_BYTES_MAX);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        Self::Invalid { code, detail: detail[..end].to_owned() }
    }

    /// Whether a new attempt at the same payload, with fresh values, may succeed.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::WrongEffects { .. } | Self::Invalid { .. })
    }

    /// A short stable name for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::AbortRequested => "abort_requested",
            Self::AlreadyAborted => "already_aborted",
            Self::Stale => "stale",
            Self::Slot { .. } => "slot",
            Self::Conflict { .. } => "conflict",
            Self::WrongEffects { .. } => "wrong_effects",
            Self::Invalid { .. } => "invalid",
            Self::Busy => "busy",
        }
    }
}

/// Why a message was not acted on. Nothing was written and no vote was cast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, BorshSerialize, BorshDeserialize)]
pub enum Rejection {
    /// The descriptor describes no attempt.
    #[error("malformed attempt: {0}")]
    Descriptor(DescriptorError),
    /// It is for another network.
    #[error("attempt of network {actual}, this is network {expected}")]
    WrongNetwork {
        /// Ours.
        expected: NetworkId,
        /// The attempt's.
        actual: NetworkId,
    },
    /// This shard is not asked.
    #[error("shard {shard} is not a participant of the attempt")]
    NotParticipant {
        /// This shard.
        shard: ShardId,
    },
    /// It names a shard that this network does not have; such an attempt could never be decided.
    #[error("unknown shard {shard}")]
    UnknownShard {
        /// Which.
        shard: ShardId,
    },
    /// It binds a shard to another epoch than the current one (R9); such a vote would count for nothing.
    #[error("epoch {actual} bound for shard {shard}, whose epoch is {expected}")]
    WrongEpoch {
        /// Whose.
        shard: ShardId,
        /// The current epoch.
        expected: Epoch,
        /// The attempt's.
        actual: Epoch,
    },
    /// The deadline is further ahead of block time than [`crate::participant::DEADLINE_AHEAD_MAX`].
    #[error("deadline {deadline} is too far ahead of block time {now}")]
    DeadlineTooFar {
        /// The attempt's deadline.
        deadline: Time,
        /// The shard's block time.
        now: Time,
    },
    /// Not a home, and the prepare lacks this home's certified yes (R11, I15).
    #[error("the certified yes of home {home} is missing")]
    HomesMissing {
        /// Which.
        home: ShardId,
    },
    /// The payload's bytes are not those that the attempt binds (R3).
    #[error("payload digest {actual}, the attempt binds {expected}")]
    WrongPayload {
        /// What the attempt binds.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// A decision that contradicts what this shard has on record. Somebody signs in this shard's name, or its store went
    /// back in time: an alarm, not an error of the sender.
    #[error("the decision contradicts this shard's record of {attempt}")]
    Contradiction {
        /// Of which attempt.
        attempt: AttemptId,
    },
    /// Every other participant has certified that nothing with the attempt's deadline is open there: nobody waits for a vote, and
    /// this shard may have forgotten its own (R7).
    #[error("{attempt} is over on all its shards, and what this one said of it may be forgotten")]
    Settled {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// This shard is at one of its bounds; nothing is known of the attempt.
    #[error("busy")]
    Busy,
}

impl From<DescriptorError> for Rejection {
    fn from(error: DescriptorError) -> Self {
        Self::Descriptor(error)
    }
}
