//! Ids and counters, one type each, so that none is taken for another.

use crate::Digest;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A network of shards: its EIP-155 chain id. Never zero.
    NetworkId(u64)
}
number! {
    /// A shard of the network, from 0. Its Hyperlane domain is derived from it and the network.
    ShardId(u32)
}
number! {
    /// The number of a validator set. The first is 1; zero is never valid.
    Epoch(u64)
}
number! {
    /// A block's place in its shard's log. The first block is 1; 0 is genesis.
    Height(u64)
}
number! {
    /// A network slot: time since genesis divided by the slot length. It is `block.number` on every shard.
    Slot(u64)
}

impl Height {
    /// The height after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Slot {
    /// The slot after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One try to commit a payload; its digest binds network, participants with epochs, payload, number and deadline (R3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct AttemptId(pub Digest);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {:?}", self.0)
    }
}
