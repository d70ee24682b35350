//! revm with a witness: execute once and record, replay under the record, split the effects by owner.
//!
//!   payload ── execute over a View ──> Executed { witness, effects, participants, homes }
//!                 (a value the view lacks: Missing)        │
//!   payload + witness ── Replayer ──> the same Executed    │ slice(shard)
//!                                                          v
//!                                    own reads, own changes, own locks ──> State
//!
//! Promise (I9, I16): gas, logs, outcome and state are those of one plain revm run, whatever the placement. Held by
//! `tests/mainnet.rs` on real blocks of every fork.
//!
//! Promise (I11): one payload under one witness has one set of effects, on any machine.
//!
//! Knows nothing of votes, locks held, disks, clocks or the network. Whether a witness is *current* is for its owners to
//! say; here it is only complete, exact and honestly replayed.

mod account;
mod bench;
mod brief;
mod code;
mod data;
mod effects;
mod environment;
mod execute;
mod executed;
mod halt;
mod handler;
mod history;
mod key;
pub mod mainnet;
mod overrides;
mod payload;
mod placement;
mod precompiles;
mod prepared;
mod recorder;
mod replay;
mod simulate;
mod simulated_blocks;
mod state;
pub mod trace;
mod transaction;
mod travels;
mod uses;
mod view;
mod witness;

pub use account::AccountState;
pub use bench::Ground;
pub use brief::answer_briefly;
pub use code::{CODES_COUNT_MAX, CodeCache, WrongCode};
pub use data::Data;
pub use effects::{Changes, Effects, Log, Outcome, Status};
pub use environment::{
    BlobEnvironment, BlockEnvironment, Environment, EnvironmentError, Environments, NetworkParams, Spec, UnknownSpec,
};
pub use execute::{ExecuteError, Invalid, execute, execute_alone, execute_counted};
pub use executed::{Executed, Slice};
pub use history::{HISTORY_ADDRESS, HISTORY_CODE_HASH, HISTORY_COUNT};
pub use key::{FEES_READ_DEADLINE_AHEAD_MAX, FeesKey, LockMode, StateKey};
pub use overrides::{AccountOverride, BlockOverrides, Overrides, StorageOverride};
pub use payload::{
    BATCH_COUNT_MAX, BATCH_GAS_MAX, BUNDLE_COUNT_MAX, Funding, Grouping, PAYLOAD_BYTES_MAX, Payload, PayloadError,
    PayloadVerifier, RecoveredPayload, Step, SystemTransaction, TransactionKind,
};
pub use placement::{Placement, PlacementError, SHARDS_COUNT_MAX, mailbox_address};
pub use prepared::Prepared;
pub use recorder::{MISSING_COUNT_MAX, Missing};
pub use replay::{Replay, Replayer, WitnessError};
pub use simulate::{
    ACCESS_LIST_RUNS_MAX, Answered, CALL_GAS_MAX, CallPrice, CallRequest, ESTIMATE_RUNS_MAX, Estimate, Listed,
    access_list, answer, estimate, simulate, storage_at,
};
pub use simulated_blocks::{
    BlockPlan, Checks, SimulateError, SimulatedCall, TRANSFERS_ADDRESS, Transfers, simulate_blocks,
};
pub use state::{Overlap, State};
pub use transaction::{
    RecoveredTransaction, SignedTransaction, TRANSACTION_BYTES_MAX, TransactionError, TransactionVerifier,
    impersonation, named,
};
pub use travels::{Leg, Travels};
pub use view::{Lookup, View, WithProofs};
pub use witness::{WITNESS_BYTES_MAX, Witness};

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use revm::bytecode::Bytecode;
pub use revm::primitives::hardfork::SpecId;
