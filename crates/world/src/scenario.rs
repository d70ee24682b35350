//! What clients do in a World: towns of users and contracts, mixes of work, scripts of a few transactions.
//!
//! - `town`: users with keys and deployed contracts, spread over the shards.
//! - `work`: transfers, swaps, calls across shards, bundles, reverts, messages; each a payload.
//! - `mix`: a seed's network, faults and work, run to its end and checked.
//! - `script`: fixed scenarios; `crashes`: each of them with every crash there is.

pub mod crashes;
mod mix;
pub mod script;
mod town;
mod work;

pub use mix::{Options, Report, run};
pub use town::{Town, town};
pub use work::Work;
