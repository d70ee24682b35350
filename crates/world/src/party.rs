//! Who takes part, and under what name a story tells of it.

use primitives::ShardId;
use std::fmt;

/// A party of the World.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A shard.
    Shard(ShardId),
    /// A coordinator, by its number from 0.
    Coordinator(usize),
    /// A relay, by its number from 0.
    Relay(usize),
    /// Whoever drives the World and calls shards by itself.
    Stranger,
}

impl Party {
    /// A number of its own, for the digest of a run.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Shard(shard) => shard.0,
            Self::Coordinator(number) => 1 << 16 | number as u32,
            Self::Relay(number) => 2 << 16 | number as u32,
            Self::Stranger => 3 << 16,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shard(shard) => write!(f, "shard {shard}"),
            Self::Coordinator(number) => write!(f, "coordinator {number}"),
            Self::Relay(number) => write!(f, "relay {number}"),
            Self::Stranger => f.write_str("stranger"),
        }
    }
}
