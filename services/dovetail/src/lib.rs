//! The command line: devnet, demo, replay, trace, verify, and the services themselves.
//!
//! As a library it is the network of real processes that tests and benches start: [`cluster::Cluster`].

pub mod client;
pub mod cluster;
pub mod conformance;
pub mod contracts;
pub mod demo;
pub mod devnet;
pub mod genesis;
pub mod keys;
pub mod mutation;
pub mod oracle;
pub mod process;
pub mod receipt;
pub mod replay;
pub mod rpc;
pub mod trace;
mod union;
pub mod wallet;
