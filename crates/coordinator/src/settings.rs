//! What a coordinator is told about its network, and its bounds (I19).

use evm::{NetworkParams, Placement};
use primitives::{Epoch, Millis, ShardId};
use std::collections::BTreeMap;

/// Most submissions at once, whatever they wait for.
pub const PENDING_COUNT_MAX: usize = 8192;
/// Tries after which a submission keeps its claims while it waits for the next: nobody here overtakes it any more.
pub const SHARED_TRIES_COUNT_MAX: u32 = 4;
/// Tries after which it gives them up again and waits longer: what keeps it from its keys for so long keeps nobody else.
pub const EAGER_TRIES_COUNT_MAX: u32 = 40;
/// Most submissions not yet accepted that wait for the values of one silent shard; more are refused at once.
pub const SILENT_WAITERS_COUNT_MAX: usize = 256;
/// Most bytes of accepted submissions that have not ended.
pub const KEPT_BYTES_MAX: usize = 256 << 20;
/// Most accepted submissions that ended without a commit and are remembered with the reason, some 200 bytes each.
pub const REFUSALS_COUNT_MAX: usize = 65_536;
/// Most times one submission may go and fetch values between two attempts.
pub const FETCH_ROUNDS_COUNT_MAX: u32 = 1024;
/// Most submissions of one sender that wait for an earlier nonce.
pub const NONCE_WAITS_PER_SENDER_COUNT_MAX: usize = 256;
/// The furthest a nonce may be ahead of its sender's next and still wait for its turn. The gap could not be filled: that many
/// do not wait together.
pub const NONCE_AHEAD_MAX: u64 = NONCE_WAITS_PER_SENDER_COUNT_MAX as u64;
/// Most executions in one step; the rest goes on in the next, at once.
pub const EXECUTIONS_PER_STEP_COUNT_MAX: usize = 1024;
/// Gas burnt in one step after which the rest waits for the next: some 0.1 s, which a vote may have to wait.
pub const GAS_PER_STEP_MAX: u64 = 30_000_000;
/// The most gas that a run within a step may ask for; longer ones are made beside it.
pub const GAS_IN_STEP_MAX: u64 = 4_000_000;
/// Most runs beside the step at once: they take what cores there are from the shards on the same machine.
pub const RUNS_BESIDE_COUNT_MAX: usize = 2;
/// Most gas that the runs of one submission may burn between two attempts, in gas limits of a block: each fetch of values
/// starts it anew.
pub const GAS_PER_TRY_MAX_BLOCKS: u64 = 8;
/// Most bytes of a batch's transactions.
pub(crate) const BATCH_BYTES_MAX: usize = 256 << 10;
/// Most undecided attempts over the same shards beside which a batch begins: what comes meanwhile is the next batch.
pub(crate) const BATCHES_UNDER_WAY_COUNT_MAX: usize = 2;
/// How long a batch that holds its keys waits for those attempts: many fast ones end meanwhile, and a slow one keeps nobody longer.
pub(crate) const GATHERING_MAX: Millis = Millis(250);
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

/// From the begin of an attempt to its deadline where it reads the beneficiary's fees: shards give it no longer, less the
/// clocks' skew.
pub(crate) const FEES_READ_ATTEMPT: Millis = Millis(2_000);

const _: () = assert!(FEES_READ_ATTEMPT.0 < evm::FEES_READ_DEADLINE_AHEAD_MAX.0, "room for skew");

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From the begin of an attempt to its deadline. Under [`commit::participant::DEADLINE_AHEAD_MAX`] by the clocks' skew.
    pub attempt: Millis,
    /// How long a fetch or a local submission may stay unanswered before it is sent again, and how long a shard may before it
    /// counts as silent: then nobody waits for its answer with keys of others claimed.
    pub answer: Millis,
    /// How long a shard may stay silent altogether before what waits for it is refused, unless it was accepted.
    pub patience: Millis,
    /// The wait after the first abort; doubles each time.
    pub backoff_min: Millis,
    /// The longest wait between the first [`EAGER_TRIES_COUNT_MAX`] attempts.
    pub backoff_max: Millis,
    /// The longest wait between later attempts.
    pub backoff_late: Millis,
    /// How long an accepted submission may be tried before it is refused with the last reason.
    pub lifetime: Millis,
    /// How long a transaction may wait for its sender's earlier nonces, counted from when the next of them is not here.
    pub nonce: Millis,
    /// How often its sender's nonce is looked up meanwhile, by the first of those that wait: a tenth of it at first, when the
    /// next is on its way at another coordinator, and all of it when that one has been awaited for four times as long.
    pub nonce_poll: Millis,
    /// How often it is looked up by the others that wait, whom the first one wakes.
    pub nonce_poll_late: Millis,
}

impl Timing {
    /// How long after a look at a nonce that has stood still for so long the next look is.
    pub(crate) fn nonce_pause(&self, still: Millis) -> Millis {
        Millis((still.0 / 4).clamp(self.nonce_poll.0 / 10, self.nonce_poll.0))
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            attempt: Millis(10_000),
            answer: Millis(1_500),
            patience: Millis(15_000),
            backoff_min: Millis(5),
            backoff_max: Millis(320),
            backoff_late: Millis(5_000),
            lifetime: Millis(600_000),
            nonce: Millis(60_000),
            nonce_poll: Millis(500),
            nonce_poll_late: Millis(5_000),
        }
    }
}
