//! A coordinator's machine: execute over a cached view, prepare, collect votes, deliver the decision.
//!
//! ```text
//!   Submit ──> execute over the view cache ──────> one participant ──> SubmitLocal ──> Local ─────────> Committed
//!                │ ^        │ ^                │
//!         Fetch  v │        │ │ keys are free  └──> several ──> Begin ──> votes ──> Decided ──> Applied ──> Committed
//!              Fetched      v │                                             │ some no
//!                         queue, first come first served      fresh values  v
//!                               ^──────────────────────────────── again, with the next attempt number
//! ```
//!
//! Promise: whatever it does, and however many of it run at once, a transaction commits on all its shards or on none, and
//! once: participants believe votes and their own state, never a coordinator. Held by `tests/network.rs`, on participants
//! made of the real rules.
//!
//! Promise: no starvation here. Transactions that need one key get it in the order they came ([`claims`]); one that others'
//! coordinators keep aborting keeps its claims for [`EAGER_TRIES_COUNT_MAX`] tries; one that waits for a silent shard claims
//! nothing ([`silence`]).
//!
//! Promise: what was accepted does not vanish ([`kept`]). It commits, or ends with a reason that is remembered: it has become
//! invalid, or its lifetime ([`Timing::lifetime`]) is over. After a restart unfinished attempts are finished by
//! [`commit::Coordinator`]'s log, and what had not ended is handed in again.
//!
//! Knows nothing of gRPC, clocks or certificates: votes come as facts, time as an argument. What the cache holds is a
//! guess that costs a retry when it is wrong, and can do no other harm.

mod attempts;
mod batches;
mod cache;
mod claims;
mod coordinator;
mod execution;
mod fetch;
mod input;
mod kept;
mod local;
mod pending;
mod proofs;
mod refusal;
mod replacement;
mod runs;
mod senders;
mod settings;
mod silence;
mod turns;

pub use cache::{CACHE_KEYS_COUNT_MAX, StateValue, ViewCache};
pub use coordinator::Coordinator;
pub use fetch::{FETCH_CODES_COUNT_MAX, FETCH_KEYS_COUNT_MAX, FETCH_PROOFS_COUNT_MAX, FetchId};
pub use input::{
    Committed, Event, Input, LocalAnswer, LocalSubmission, Prepare, ProvenCode, Reply, Send, StateKeyValue, Ticket,
    Votes,
};
pub use kept::{KEPT, REFUSED, Refused, kept, refused};
pub use refusal::Refusal;
pub use runs::{Job, Ran, RunId};
pub use settings::{
    CODE_PROOFS_COUNT_MAX, EAGER_TRIES_COUNT_MAX, EXECUTIONS_PER_STEP_COUNT_MAX, FETCH_ROUNDS_COUNT_MAX,
    GAS_IN_STEP_MAX, GAS_PER_STEP_MAX, GAS_PER_TRY_MAX_BLOCKS, KEPT_BYTES_MAX, NONCE_AHEAD_MAX,
    NONCE_WAITS_PER_SENDER_COUNT_MAX, PENDING_COUNT_MAX, REFUSALS_COUNT_MAX, RUNS_BESIDE_COUNT_MAX,
    SHARED_TRIES_COUNT_MAX, SILENT_WAITERS_COUNT_MAX, Settings, Timing, UNPROVEN_MAX,
};

pub use commit::coordinator::OpenError;
