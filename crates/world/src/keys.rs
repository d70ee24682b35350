//! Every shard's validator: the same key for the same shard in every World, computed once.

use primitives::{Epoch, ShardId};
use proof::{NotMember, SecretKey, Signer, ValidatorSet};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Most shards a World can have.
pub const SHARDS_COUNT_MAX: u32 = 64;

static SETS: OnceLock<Vec<ValidatorSet>> = OnceLock::new();

fn seed(shard: ShardId) -> [u8; 32] {
    let mut seed = [0xd0; 32];
    seed[..4].copy_from_slice(&shard.0.to_be_bytes());
    seed
}

/// The secret key of a shard's validator. Worlds hold nothing of value.
#[allow(clippy::expect_used, reason = "the seed is never zero")]
pub fn secret(shard: ShardId) -> SecretKey {
    SecretKey::from_bytes(&seed(shard)).expect("a seed that is not zero")
}

#[allow(clippy::expect_used, reason = "one key is a set")]
fn sets() -> &'static [ValidatorSet] {
    SETS.get_or_init(|| {
        let set = |shard| ValidatorSet::new(Epoch(1), vec![secret(ShardId(shard)).public()]).expect("one key is a set");
        (0..SHARDS_COUNT_MAX).map(set).collect()
    })
}

/// The validators of shards 0 to `shards_count` - 1.
pub fn validators(shards_count: u32) -> BTreeMap<ShardId, ValidatorSet> {
    sets()
        .iter()
        .take(shards_count as usize)
        .enumerate()
        .map(|(shard, set)| (ShardId(shard as u32), set.clone()))
        .collect()
}

/// The signer of a shard.
pub(crate) fn signer(shard: ShardId) -> Result<Signer, NotMember> {
    Signer::new(secret(shard), &sets()[shard.0 as usize])
}
