//! Ethereum's own tests, blocks and every lie about them, through a whole network and compared with one EVM.
//!
//! ```text
//!  state tests ── state_tests ──┐
//!  blocks ─────── replay ───────┼──> coordinator and shards, in World or as processes ──> verdict ──> document
//!  both ───────── mutation ─────┘         once for each layout
//! ```
//!
//! Reads files and prints what it finds; which files, and what is done with the result, a command line says.

pub mod document;
pub mod layout;
pub mod mutation;
pub mod replay;
pub mod state_tests;
