//! The command line: devnet, demo, replay, trace, verify, and the services themselves.
//!
//! A module for each verb; what they stand on are the crates `cluster`, `conformance` and `judge`.

mod authority;
pub mod backup;
pub mod bridge;
pub mod config;
pub mod conformance;
pub mod credentials;
pub mod demo;
pub mod demo_bridge;
pub mod devnet;
pub mod evidence;
mod identity;
pub mod keys;
pub mod lint;
pub mod network;
pub mod receipt;
pub mod replay;
pub mod roles;
#[cfg(test)]
mod sample;
pub mod status;
pub mod trace;
