//! What is asked of a foreign chain, and when what it says is final.

use crate::endpoint::EndpointError;
use crate::evidence::Disagreement;
use alloy_consensus::Header;
use alloy_primitives::{B256, Bloom};
use primitives::Time;
use serde::{Deserialize, Serialize};
use std::future::Future;

/// When a block of a chain is taken to be there for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Finality {
    /// At once: a chain that never reorganises.
    Instant,
    /// Once so many blocks stand on it.
    Depth {
        /// How many.
        blocks: u64,
    },
    /// Once the chain's own `finalized` tag is at it or past it.
    Finalized,
}

/// A block, by what pins it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The hash of the one before it.
    pub parent: B256,
    /// Its time.
    pub time: Time,
    /// The root over its receipts.
    pub receipts_root: B256,
    /// Which logs it may have.
    pub bloom: Bloom,
}

impl Head {
    /// The block of this header, its hash computed.
    pub fn of(header: &Header) -> Self {
        Self {
            number: header.number,
            hash: header.hash_slow(),
            parent: header.parent_hash,
            time: Time(header.timestamp.saturating_mul(1000)),
            receipts_root: header.receipts_root,
            bloom: header.logs_bloom,
        }
    }
}

/// Why a chain gave no answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not now: too few endpoints said the same. Nothing is wrong with the chain as far as is known.
    #[error("{agreeing} endpoints agree on {what} where {needed} are needed: {}", said.join("; "))]
    TooFew {
        /// On what.
        what: String,
        /// How many agree.
        agreeing: usize,
        /// How many are needed.
        needed: usize,
        /// What the others said.
        said: Vec<String>,
    },
    /// Endpoints show different blocks of one final number, and no side has enough of them: the route stops.
    #[error("endpoints disagree on block {}", .0.number)]
    Disagreement(Box<Disagreement>),
    /// The one endpoint there is.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
}

/// What a mailbox did in one block, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxEvents {
    /// The v3 bytes of every message that was dispatched.
    pub dispatched: Vec<Vec<u8>>,
    /// Every message that was processed, its recipient having run to its end.
    pub processed: Vec<ProcessedMessage>,
    /// The transaction of each, those of dispatches first: told by whoever showed the receipts, as no header commits to it.
    pub transactions: Vec<B256>,
}

/// A message that was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessedMessage {
    /// The domain that it came from.
    pub origin: u32,
    /// Hyperlane's id of it.
    pub id: B256,
}

/// A foreign chain with one Hyperlane mailbox, as an attestor sees it.
pub trait Chain: Send + Sync {
    /// The newest block that the policy calls final.
    fn finalized(&self) -> impl Future<Output = Result<Head, ChainError>> + Send;

    /// The block of this number.
    fn block(&self, number: u64) -> impl Future<Output = Result<Head, ChainError>> + Send;

    /// What the mailbox did in `block`.
    fn events(&self, block: &Head) -> impl Future<Output = Result<MailboxEvents, ChainError>> + Send;
}
