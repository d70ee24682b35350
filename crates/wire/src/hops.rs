//! What a node of a bridge answers an explorer that asks for a message's way over a foreign chain: JSON, by `GET /hops/{Hyperlane's id}`.
//!
//! Nobody has to believe it: a transaction's hash is the word of the endpoint that showed it, and no signature is over it.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// What happened on the foreign chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The message was sent there.
    Dispatched,
    /// It arrived there.
    Processed,
    /// It came from there, and its sender was told how it ended.
    Answered,
}

/// How sure that is, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The transaction was sent and is in no block yet.
    UnderWay,
    /// It is in a block that may still go.
    Mined,
    /// It is in a block, and did nothing but cost its payer.
    Reverted,
    /// It is in a block that is final, as the route's policy has it.
    Final,
}

/// One transaction on the foreign chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// What it did.
    pub step: Step,
    /// How sure that is.
    pub state: Standing,
    /// None where it was read before hashes were kept.
    pub transaction: Option<B256>,
    /// The number of its block, if it is in one.
    pub block: Option<u64>,
    /// That block's hash, where it is known.
    pub block_hash: Option<B256>,
}

/// All that a node says of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sight {
    /// The EIP-155 id of the chain.
    pub chain_id: u64,
    /// The transactions that it knows.
    pub hops: Vec<Hop>,
    /// Why it has not gone on, in words, where the node knows.
    pub why: Option<String>,
}
