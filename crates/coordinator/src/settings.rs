//! What a coordinator is told about its network, and its bounds (I19).

use evm::{NetworkParams, Placement};
use primitives::{Epoch, Millis, ShardId};
use std::collections::BTreeMap;

/// Most submissions at once, whatever they wait for.
pub const PENDING_COUNT_MAX: usize = 8192;
/// Most attempts at one submission before it is refused with the last reason.
pub const ATTEMPTS_COUNT_MAX: u32 = 40;
/// Tries after which a submission keeps its claims while it waits for the next: nobody here overtakes it any more.
pub const SHARED_TRIES_COUNT_MAX: u32 = 4;
/// Most times one submission may go and fetch values between two attempts.
pub const FETCH_ROUNDS_COUNT_MAX: u32 = 1024;
/// Most submissions of one sender that wait for an earlier nonce.
pub const NONCE_WAITS_PER_SENDER_COUNT_MAX: usize = 256;
/// The furthest a nonce may be ahead of its sender's next and still wait for its turn. The gap could not be filled: that many
/// do not wait together.
pub const NONCE_AHEAD_MAX: u64 = NONCE_WAITS_PER_SENDER_COUNT_MAX as u64;
/// Most executions in one step; the rest goes on in the next, at once.
pub const EXECUTIONS_PER_STEP_COUNT_MAX: usize = 1024;
/// Most proofs of codes remembered, some 2 KiB each.
pub const CODE_PROOFS_COUNT_MAX: usize = 8192;
/// How long an owner's word that it cannot prove a code is taken for an answer: its state root may lag behind a new contract.
pub const UNPROVEN_MAX: Millis = Millis(2_000);

/// A coordinator's network, and its patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What all shards agree on.
    pub params: NetworkParams,
    /// Who owns what.
    pub placement: Placement,
    /// The current epoch of every shard (R9).
    pub epochs: BTreeMap<ShardId, Epoch>,
    /// How long things may take.
    pub timing: Timing,
    /// How often attempts' messages are said again.
    pub commit: commit::coordinator::Settings,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From the begin of an attempt to its deadline. Under [`commit::participant::DEADLINE_AHEAD_MAX`] by the clocks' skew.
    pub attempt: Millis,
    /// How long a fetch or a local submission may stay unanswered before it is sent again.
    pub answer: Millis,
    /// How long a shard may stay silent altogether before what waits for it is refused.
    pub patience: Millis,
    /// The wait after the first abort; doubles each time.
    pub backoff_min: Millis,
    /// The longest wait between attempts.
    pub backoff_max: Millis,
    /// How long a transaction may wait for its sender's earlier nonces.
    pub nonce: Millis,
    /// How often its sender's nonce is looked up meanwhile.
    pub nonce_poll: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            attempt: Millis(10_000),
            answer: Millis(1_500),
            patience: Millis(15_000),
            backoff_min: Millis(5),
            backoff_max: Millis(320),
            nonce: Millis(60_000),
            nonce_poll: Millis(500),
        }
    }
}
