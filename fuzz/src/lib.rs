//! Everything that decodes, verifies or steps, under bytes that nobody chose.
//!
//! ```text
//!   corpus/<target>/*  --+                       +--> tests/corpus.rs      stable, in CI: the corpus and mutations of it
//!                        +--> fn target(&[u8]) --+
//!   libFuzzer's bytes  --+                       +--> fuzz_targets/*.rs    nightly: `cargo fuzz run <target>`
//! ```
//!
//! Three kinds of target: what *decodes* must give bytes back that are the bytes it was given (one encoding for a value);
//! what *verifies* must believe nothing but what was really said; what *steps* must keep its invariants under any order of
//! inputs, times and restarts, and go on after a restart as it would have without.
//!
//! Promise: a target panics when a property fails and for no other reason, so that a crash is a defect. It reads no clock
//! and draws nothing: the same bytes do the same.
#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a target panics when a property fails: that is its verdict"
)]

mod attempts;
mod canonical;
mod chain;
mod choice;
mod contents;
mod coordinators;
mod execution;
mod files;
mod grpc;
mod jsonrpc;
mod merkle;
mod participants;
mod payloads;
mod receipts;
mod relays;
mod sample;
pub mod seeds;
mod shards;
mod text;
mod votes;
mod wire_values;

pub use attempts::attempts;
pub use canonical::canonical;
pub use coordinators::coordinator;
pub use execution::execution;
pub use files::{mainnet_block, network_file};
pub use grpc::grpc;
pub use jsonrpc::json_rpc;
pub use merkle::{merkle, state_proof};
pub use participants::participants;
pub use payloads::{payload, witness};
pub use receipts::{equivocation, receipt};
pub use relays::relay;
pub use shards::shard;
pub use text::text;
pub use votes::{decision, vote};
pub use wire_values::wire_values;

/// What is done with some bytes.
pub type Run = fn(&[u8]);

/// Every target by its name, which is also that of its binary and of its folder in `corpus/`.
pub const TARGETS: &[(&str, Run)] = &[
    ("attempts", attempts),
    ("canonical", canonical),
    ("coordinator", coordinator),
    ("decision", decision),
    ("equivocation", equivocation),
    ("execution", execution),
    ("grpc", grpc),
    ("json_rpc", json_rpc),
    ("mainnet_block", mainnet_block),
    ("merkle", merkle),
    ("network_file", network_file),
    ("participants", participants),
    ("payload", payload),
    ("receipt", receipt),
    ("relay", relay),
    ("shard", shard),
    ("state_proof", state_proof),
    ("text", text),
    ("vote", vote),
    ("wire_values", wire_values),
    ("witness", witness),
];
