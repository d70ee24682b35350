//! A shard's machine: ledger, locks, inbox and outbox in one ordered log of blocks.
//!
//!   Local ------.
//!   Prepare ----|      one step           one batch                    one block
//!   Decision ---+--> [ Shard: Machine ] --> writes ---(synced)---> replies with receipts, questions to other shards
//!   Deliver ----|         |
//!   Acknowledge '         |    ^
//!                         v    '-- state roots, computed beside the commit path on a snapshot
//!                      queries: what services read from the store
//!
//! Promise: what it answers was written first (R2); locks are held from a yes vote to the decision (R6) and by nothing else
//! (I7); a committed part is applied once (I5), a message runs once (I14), and value is conserved (I8).
//! Knows nothing of disks, clocks, sockets and threads; takes nothing about another shard on trust: facts come as
//! [`primitives::Verified`].

mod acknowledgements;
mod advance;
mod applied;
mod attempts;
mod base;
mod blocks;
mod cheats;
mod checks;
mod closing;
mod code_proof;
mod config;
mod dispatch;
mod execution;
mod fees_reads;
mod freshness;
mod heat;
mod inbox;
mod input;
mod ledger;
pub mod limits;
mod locks;
mod messages;
mod order;
mod outcomes;
mod own_calls;
mod page;
mod past;
pub mod queries;
mod recency;
mod retention;
mod returns;
mod seen;
mod settling;
mod shard;
pub mod spaces;
mod staged;
pub mod state_tree;
mod told;
mod tombstones;
#[cfg(feature = "twins")]
mod twins;
mod unended;
mod votes;
mod waiting;

#[cfg(test)]
mod scenarios;

pub use advance::{Advance, Advances, advance};
pub use applied::{Applied, Cause, outcome_digest, system_id};
pub use attempts::{AttemptRecord, invalid};
pub use base::{BASE_VALUES_COUNT_MAX, BaseValue};
pub use blocks::{Entry, LeafPlace, OutcomeLeaf, Tip};
pub use cheats::{AccountParts, CHEAT_BYTES_MAX, Cheat, CheatRefusal, cheat_digest};
pub use checks::{CheckError, Checks};
pub use closing::{first_open, shown_in};
pub use code_proof::{
    CODE_PROOF_BYTES_MAX, CODE_PROOFS_CHECKED_COUNT_MAX, CodeFact, CodeProof, CodeProofError, CodeVerifier, prove_code,
};
pub use config::{GenesisAccount, GenesisAccounts, OpenError, STORE_FORMAT, ShardConfig};
pub use dispatch::DispatchError;
pub use execution::oldest_slot_taken;
pub use freshness::{Behind, SIGHTINGS_WAIT, Start};
pub use heat::HotKey;
pub use input::{
    AcknowledgeRefusal, Answer, AttemptRefusal, BaseRefusal, Busy, DeliverRefusal, FreshValue, Input, LocalRefusal,
    LockCounts, Novelty, Prepare, Reply, Send, SlotRefused, Ticket,
};
pub use locks::{Conflict, LOCKS_PER_ATTEMPT_COUNT_MAX, LockTable};
pub use messages::{Acknowledgement, ConsumedRecord, HandlerEnd, SentRecord, ValueTotals};
pub use order::{Committed, OrderError, order};
pub use outcomes::{OutcomeRecord, number_of};
pub use own_calls::OwnPayload;
pub use page::PAGE_BYTES_MAX;
pub use past::PastError;
pub use retention::{Forgetting, Forgettings, Forgotten, Kept, is_forgetting};
pub use returns::RETURN_DEADLINE;
pub use seen::EVIDENCE_COUNT_MAX;
pub use shard::Shard;
pub use spaces::SPACES;
pub use told::{
    LogPlace, LogReader, OutcomePlace, TOLD_BLOCK_BYTES_MAX, TOLD_BLOCKS_COUNT_MAX, ToldBlock, ToldOutcome, ToldPage,
    Untold,
};
pub use votes::{VoteError, VoteVerifier, certified_by};
