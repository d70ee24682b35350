//! Parties that do not keep the rules.
//!
//! - `replayer`: says again what others said before, to the same shard or another.
//! - `forger`: makes votes and receipts under keys that nobody should believe.
//! - `liar`: a coordinator that says to each shard what suits it.
//!
//! Promise: what they hand in goes through the same checks as anybody's; a shard that carries out what was forged is a
//! violation, whatever follows from it.

pub(crate) mod forger;
pub(crate) mod liar;
mod replayer;

pub use forger::{Forger, forged_vote};
