//! A first block for every shard, which changes nothing: from then on a shard can prove what it holds.
//!
//! A code that never changes needs no vote of its owner where it is proven (`docs/decisions/0012-fixed-code.md`), and a shard
//! has nothing certified to prove it by before it has signed a block. A network that has served anybody is past that.

use commit::Descriptor;
use evm::{NetworkParams, Placement};
use primitives::{Digest, Epoch, Millis, ShardId, Time};

/// An attempt that nobody makes: a shard that is asked to abort it signs its no, which is all of its first block.
pub fn of_nobody(params: &NetworkParams, placement: &Placement, now: Time) -> Descriptor {
    Descriptor {
        network: params.network,
        participants: placement.shards().map(|shard| (shard, Epoch(1))).collect(),
        homes: [ShardId(0)].into(),
        payload: Digest::new([0xff; 32]),
        number: 1,
        deadline: now.after(Millis(1_000)),
    }
}
