//! What every node says of itself, and what an operator may ask of any.

mod client;
mod server;

pub use client::NodeClient;
pub use server::NodeServer;

use crate::convert::{ConvertError, bytes_of, digest, hash};
use crate::limits::{NODE_TEXT_BYTES_MAX, OPEN_ATTEMPTS_COUNT_MAX};
use crate::proto::v1;
use crate::rejection::{Rejection, cut};
use alloy_primitives::B256;
use primitives::{Digest, Millis, NetworkId, ShardId, Time};

/// An attempt that a shard has voted yes to and does not know the end of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Its id.
    pub id: B256,
    /// Its participants.
    pub participants: Vec<ShardId>,
    /// Its deadline, by the shard's own time.
    pub deadline: Time,
}

/// A node, as it says of itself. Nobody vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// What it is, such as "shard 0".
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Whether it takes work.
    pub is_ready: bool,
    /// What it complains of, lines.
    pub remarks: String,
    /// What its clock shows.
    pub clock: Time,
    /// For how long it has run.
    pub running: Millis,
    /// Until when its certificate is valid, in seconds since 1970; 0 where it has none.
    pub certificate_until_s: u64,
    /// Attempts that are open at it; the first of them.
    pub open_attempts: Vec<OpenAttempt>,
    /// How many there are.
    pub open_attempts_count: u64,
    /// Its network, and the digest of what all nodes of that agree on; a node of an earlier build does not say it.
    pub of: Option<(NetworkId, Digest)>,
}

/// A copy of a node's store, on the node's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Its folder, as the node names it.
    pub path: String,
    /// How many batches it has.
    pub batches: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What every node offers; the host implements it and [`NodeServer`] serves it.
///
/// # Errors
/// A [`Rejection`] of the whole call.
pub trait NodeApi: Send + Sync + 'static {
    /// How it is.
    fn state(&self) -> impl Future<Output = Result<NodeState, Rejection>> + Send;

    /// Copies its store, of one moment, into its folder of backups under `name`.
    fn back_up(&self, name: String) -> impl Future<Output = Result<BackedUp, Rejection>> + Send;
}

impl From<NodeState> for v1::GetNodeResponse {
    fn from(state: NodeState) -> Self {
        let open_attempts = state.open_attempts.into_iter().take(OPEN_ATTEMPTS_COUNT_MAX).map(Into::into).collect();
        let mut remarks = state.remarks;
        let end = (0..=NODE_TEXT_BYTES_MAX.min(remarks.len())).rev().find(|end| remarks.is_char_boundary(*end));
        remarks.truncate(end.unwrap_or_default());
        Self {
            name: cut(state.name),
            version: cut(state.version),
            is_ready: state.is_ready,
            remarks,
            clock_ms: state.clock.0,
            running_ms: state.running.0,
            certificate_until_s: state.certificate_until_s,
            open_attempts,
            open_attempts_count: state.open_attempts_count,
            network: state.of.map_or(0, |(network, _)| network.0),
            genesis_digest: state.of.map(|(_, genesis)| bytes_of(genesis.as_bytes())).unwrap_or_default(),
        }
    }
}

impl From<OpenAttempt> for v1::OpenAttempt {
    fn from(attempt: OpenAttempt) -> Self {
        Self {
            id: bytes_of(attempt.id.as_slice()),
            participants: attempt.participants.iter().map(|shard| shard.0).collect(),
            deadline_ms: attempt.deadline.0,
        }
    }
}

impl TryFrom<v1::GetNodeResponse> for NodeState {
    type Error = ConvertError;

    fn try_from(state: v1::GetNodeResponse) -> Result<Self, ConvertError> {
        let says = state.network != 0;
        let genesis = says.then(|| digest("genesis_digest", &state.genesis_digest)).transpose()?;
        let of = genesis.map(|genesis| (NetworkId(state.network), genesis));
        Ok(Self {
            name: state.name,
            version: state.version,
            is_ready: state.is_ready,
            remarks: state.remarks,
            clock: Time(state.clock_ms),
            running: Millis(state.running_ms),
            certificate_until_s: state.certificate_until_s,
            open_attempts: state.open_attempts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            open_attempts_count: state.open_attempts_count,
            of,
        })
    }
}

impl TryFrom<v1::OpenAttempt> for OpenAttempt {
    type Error = ConvertError;

    fn try_from(attempt: v1::OpenAttempt) -> Result<Self, ConvertError> {
        Ok(Self {
            id: hash("id", &attempt.id)?,
            participants: attempt.participants.into_iter().map(ShardId).collect(),
            deadline: Time(attempt.deadline_ms),
        })
    }
}
