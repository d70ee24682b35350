//! Why a submission ends without a commit.

use crate::replacement::REPLACEMENT_PERCENT_MIN;
use crate::settings::{FETCH_ROUNDS_COUNT_MAX, NONCE_WAITS_PER_SENDER_COUNT_MAX, PENDING_COUNT_MAX};
use alloy_primitives::{Address, B256};
use commit::{PARTICIPANTS_COUNT_MAX, PAYLOAD_BYTES_MAX};
use evm::{ExecuteError, PayloadError};
use primitives::ShardId;

/// Why a submission was refused. Nothing of it happened on any shard, except where a variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many submissions at once, or too many bytes of them.
    #[error("{PENDING_COUNT_MAX} submissions are pending, or many large ones: try again")]
    Busy,
    /// One of its transactions is being worked on already.
    #[error("transaction {transaction} is pending already")]
    AlreadyPending {
        /// Its hash.
        transaction: B256,
    },
    /// Another one of its sender has its nonce, and it does not pay enough more to replace that.
    #[error(
        "transaction {transaction} has its nonce, and a replacement pays {REPLACEMENT_PERCENT_MIN} % more than that"
    )]
    Underpriced {
        /// The other's hash.
        transaction: B256,
    },
    /// Another one of its sender took its nonce for a higher fee.
    #[error("replaced by transaction {by}, which pays more")]
    Replaced {
        /// The other's hash.
        by: B256,
    },
    /// It cannot be executed: nonce, funds, gas, a bundle of which one fails.
    ///
    /// A nonce that is too low may mean that this very transaction has been committed, by this coordinator before a restart
    /// or by another one: the sender's shard knows it by its hash.
    #[error(transparent)]
    Execution(ExecuteError),
    /// The network does not take the payload at the present slot.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Its sender has too many transactions waiting for earlier nonces.
    #[error("{sender} has {NONCE_WAITS_PER_SENDER_COUNT_MAX} transactions waiting for earlier nonces")]
    TooManyNonces {
        /// Whose.
        sender: Address,
    },
    /// It touches more shards than one attempt may name.
    #[error("it touches {actual} shards where at most {PARTICIPANTS_COUNT_MAX} are allowed")]
    Participants {
        /// How many it touches.
        actual: usize,
    },
    /// What it reads does not fit into a prepare.
    #[error("a prepare of {actual} bytes where at most {PAYLOAD_BYTES_MAX} are allowed: it reads too much")]
    TooLong {
        /// How many bytes.
        actual: usize,
    },
    /// It touches a shard that this coordinator knows no epoch of.
    #[error("shard {shard} is not in this coordinator's configuration")]
    UnknownShard {
        /// Which.
        shard: ShardId,
    },
    /// What it reads changed, or was locked by others, each time it was tried, until its lifetime was over.
    #[error("aborted {tries} times, the last time because shard {shard} said: {last}")]
    Contended {
        /// How often it was tried.
        tries: u32,
        /// Who aborted the last try.
        shard: ShardId,
        /// Why.
        last: commit::Refusal,
    },
    /// The values it reads never stood still for long enough to be fetched.
    #[error("what it reads could not be fetched in {FETCH_ROUNDS_COUNT_MAX} rounds")]
    Unsettled,
    /// Its lifetime was over while it waited for others that need the same keys.
    #[error("others that came first and need the same keys did not end in time")]
    Waited,
    /// Its lifetime was over and an attempt at it is not decided: it may have been committed, or may yet be.
    #[error("shard {shard} does not vote: look it up by its hash before sending it again")]
    Undecided {
        /// Whose vote is lacking.
        shard: ShardId,
    },
    /// It burns gas, and then reads what nobody could foresee, again and again.
    #[error("{burnt} gas was burnt before all that it reads was known, {max} are allowed")]
    TooMuchGas {
        /// In all its runs since the last attempt.
        burnt: u64,
        /// What is allowed.
        max: u64,
    },
    /// A shard voted no for good.
    #[error("shard {shard} voted no: {refusal}")]
    Voted {
        /// Which.
        shard: ShardId,
        /// Why.
        refusal: commit::Refusal,
    },
    /// A shard would not take it.
    #[error("shard {shard} refused it: {reason}")]
    Objected {
        /// Which.
        shard: ShardId,
        /// In its own words.
        reason: String,
    },
    /// A shard whose values it needs does not answer.
    #[error("shard {shard} does not answer")]
    Unreachable {
        /// Which.
        shard: ShardId,
    },
    /// A shard cannot have values that it needs: the chain it was forked from does not give them.
    #[error("shard {shard}: {reason}")]
    NotRead {
        /// Which.
        shard: ShardId,
        /// In its own words.
        reason: String,
    },
    /// The shard it was handed to does not answer: it may have been executed there, or may yet be.
    #[error("shard {shard} took it and does not answer: look it up by its hash before sending it again")]
    Unknown {
        /// Which.
        shard: ShardId,
    },
}
