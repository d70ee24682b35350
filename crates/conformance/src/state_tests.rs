//! The official Ethereum state tests through coordinator and shards, compared with one plain EVM.
//!
//! ```text
//!  folder, file, archive ── source ──> file ──> test ──> subtest: one transaction under one fork
//!                                                           │
//!        section ── plain revm ─────────────────────────────┼──> outcome, state  ─┐
//!        txbytes ── coordinator, prepare, votes, decision ──┴──> outcome, union ──┴─ verdict: the file's hash, logs,
//!                   on shards, once for each layout                                  exception; one EVM's gas, output, status
//! ```
//!
//! Promise (I9, I16): a subtest that is reported as passed had, on the network, the state root and logs of its file and the
//! gas, status and output of one unsharded revm, or was refused for the same reason. Every subtest is passed, failed, or
//! skipped by a reason of [`verdict::Skip`]; none is left out.

pub mod case;
pub mod file;
pub mod first_block;
pub mod fork;
pub mod network;
pub mod plain;
mod processes;
mod refusal;
pub mod report;
mod root;
pub mod runner;
pub mod sample;
pub mod section;
pub mod source;
pub mod subtest;
pub mod tally;
pub mod verdict;

pub use refusal::Kind;
