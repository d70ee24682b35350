//! Real Ethereum blocks through coordinator and shards, compared with their own headers.
//!
//! ```text
//!  file ── subject ──> payloads ── schedule: in block order, or several in flight ──> coordinator: prepare, vote, decide
//!             │                                                                            │ on shards, for each layout
//!             └── one plain EVM ──> outcomes, state ──┐                                    │
//!                                                     ├── verdict: gas, bloom, receipts, requests, state, state root
//!             outcomes in block order, union of states ┘ <─────────────────────────────────┘
//! ```
//!
//! Promise (I9, I16): a block that is reported as reproduced has the gas, logs, receipts and state of Ethereum mainnet,
//! whatever the placement and however many of its transactions were in flight; anything else is an error that says what
//! differs first.
//!
//! Within this process the machines that serve are carried by [`world::World`]; over processes every shard is a process
//! with its store, and the oracle looks at the stores afterwards.

mod counts;
mod file;
mod inside;
mod network;
mod processes;
pub mod report;
pub mod runner;
mod schedule;
mod subject;
mod verdict;

pub use counts::{BlockRun, Counts, Flight};
pub use file::{FileError, find, load};
pub use report::section;
pub use runner::{BlockFacts, BlockReport, Tally, replay_over_processes};
pub use verdict::BlockMismatch;

use evm::Placement;

/// Where a block's accounts are, and how it is replayed there.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) placement: Placement,
    pub(crate) in_flight: usize,
}
