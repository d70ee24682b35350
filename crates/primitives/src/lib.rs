//! Ids, digests, canonical bytes, time as a value, and the contract of a machine.
//!
//! Everything above this crate speaks these words and no synonyms of them.
//!
//! Architecture invariant: nothing here, nor in any crate that calls itself pure, reads a clock, draws a random number,
//! starts a task or touches a file. What decides is a [`Machine`]; what touches the world is its host.

mod bytes;
mod ceiling;
mod digest;
mod ids;
mod machine;
mod memory;
mod time;
mod verified;

pub use bytes::{DecodeError, decode, encode};
pub use ceiling::{CLOCK_AHEAD_MAX, Ceiling, HEARING_WAIT};
pub use digest::{Digest, Domain, ZeroDigest};
pub use ids::{AttemptId, Epoch, Height, NetworkId, ShardId, Slot};
pub use machine::{Machine, Output, Read, Space, Write};
pub use memory::Memory;
pub use time::{Millis, Time};
pub use verified::{Verified, Verifier};
