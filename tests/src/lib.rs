//! What holds the house together: floors, scenarios, conformance, golden bytes.
//!
//! The library is what scenarios over real processes share: a network with contracts on each shard, users who press on
//! through whatever dies, and the audit that looks for a transaction lost, doubled or left open.
//!
//! ```text
//!  testnet: 4 executors, coordinators, relays ── kill -9 ──┐
//!     ^                                                    │ the scenario
//!     └── load: users, each with its own nonces ───────────┤
//!                    │ a diary each: what they were told   v
//!                    └──────────────> audit: homes, books, messages, locks; stores against one plain EVM
//! ```

pub mod audit;
pub mod chance;
pub mod cluster;
pub mod liar;
pub mod links;
pub mod load;
pub mod operator;
pub mod processes;
pub mod recorder;
pub mod recovery;
pub mod scenarios;
pub mod simulated;
pub mod stage;
pub mod stranger;
pub mod testnet;
