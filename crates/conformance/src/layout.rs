//! Over how many shards, and who is where.

use alloy_primitives::{Address, keccak256};
use evm::{Placement, PlacementError};
use primitives::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The most shards that a layout may have: as many as one attempt may touch, since a transaction that reads the balance of
/// the block's beneficiary reads a fragment of it on every shard.
pub const SHARDS_COUNT_MAX: u32 = commit::PARTICIPANTS_COUNT_MAX as u32;

/// How accounts are spread over shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// By the hash of their address, as networks do by default.
    Hash {
        /// How many shards.
        shards: u32,
    },
    /// At random, drawn from a seed for each subtest anew.
    Seeded {
        /// How many shards.
        shards: u32,
        /// The seed.
        seed: u64,
    },
    /// Every account on a shard of its own, as far as there are shards.
    OwnShard,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash { shards } => write!(f, "{shards} by hash"),
            Self::Seeded { shards, seed } => write!(f, "{shards} by seed {seed}"),
            Self::OwnShard => f.write_str("one per account"),
        }
    }
}

impl Layout {
    /// Where the accounts of the subtest called `subtest` are; `accounts` are those it is known to need.
    pub fn placement(&self, subtest: &str, accounts: &BTreeSet<Address>) -> Result<Placement, PlacementError> {
        let draw = |address: &Address, seed: u64, shards: u32| {
            let hash = keccak256([&seed.to_be_bytes()[..], address.as_slice(), subtest.as_bytes()].concat());
            ShardId(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % shards.max(1))
        };
        match *self {
            Self::Hash { shards } => Placement::new(1, shards, BTreeMap::new()),
            Self::Seeded { shards, seed } => {
                let drawn = accounts.iter().map(|address| (*address, draw(address, seed, shards)));
                Placement::new(1, shards, drawn.collect())
            }
            Self::OwnShard => {
                let shards = u32::try_from(accounts.len()).unwrap_or(u32::MAX).clamp(1, SHARDS_COUNT_MAX);
                let own = accounts.iter().zip((0..shards).cycle()).map(|(address, shard)| (*address, ShardId(shard)));
                Placement::new(1, shards, own.collect())
            }
        }
    }

    /// The place in `layouts` of the first that has more than one shard; the first of all if none has.
    pub fn first_crossing(layouts: &[Self]) -> usize {
        let crosses = |layout: &Self| !matches!(layout, Self::Hash { shards: 1 } | Self::Seeded { shards: 1, .. });
        layouts.iter().position(crosses).unwrap_or(0)
    }

    /// Whether some of `accounts` accounts have to share a shard although each should have its own.
    pub fn is_crowded(&self, accounts: usize) -> bool {
        *self == Self::OwnShard && accounts > SHARDS_COUNT_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(count: u8) -> BTreeSet<Address> {
        (0..count).map(Address::repeat_byte).collect()
    }

    #[test]
    fn on_shards_of_their_own_no_two_accounts_meet() {
        let placement = Layout::OwnShard.placement("a", &accounts(40)).unwrap();
        let shards: BTreeSet<ShardId> = accounts(40).iter().map(|address| placement.shard_of(*address)).collect();
        assert_eq!((shards.len(), placement.shards_count()), (40, 40));
        assert!(!Layout::OwnShard.is_crowded(64) && Layout::OwnShard.is_crowded(65));
        assert_eq!(Layout::OwnShard.placement("a", &accounts(200)).unwrap().shards_count(), SHARDS_COUNT_MAX);
    }

    #[test]
    fn a_seed_places_a_subtest_the_same_way_each_time_and_another_one_otherwise() {
        let layout = Layout::Seeded { shards: 4, seed: 7 };
        let placed = |layout: Layout, subtest| layout.placement(subtest, &accounts(64)).unwrap();
        assert_eq!(placed(layout, "a"), placed(layout, "a"));
        assert_ne!(placed(layout, "a"), placed(layout, "b"));
        assert_ne!(placed(layout, "a"), placed(Layout::Seeded { shards: 4, seed: 8 }, "a"));
    }

    #[test]
    fn what_runs_under_one_layout_runs_over_several_shards_if_it_can() {
        let layouts = [Layout::Hash { shards: 1 }, Layout::Hash { shards: 2 }, Layout::OwnShard];
        assert_eq!((Layout::first_crossing(&layouts), Layout::first_crossing(&layouts[..1])), (1, 0));
    }

    #[test]
    fn no_shards_are_refused() {
        assert!(Layout::Hash { shards: 0 }.placement("a", &accounts(1)).is_err());
    }
}
