//! What the explorer's tests are about.

use alloy_primitives::{B256, U256};
use primitives::{NetworkId, ShardId, Time};
use proof::{Message, domain_of};

/// A message from shard 0 to shard 2, which expires 100 s after the epoch.
pub(super) fn message() -> Message {
    Message {
        nonce: 1,
        origin: domain_of(NetworkId(7), ShardId(0)),
        sender: B256::repeat_byte(1),
        destination: domain_of(NetworkId(7), ShardId(2)),
        recipient: B256::repeat_byte(2),
        body: Vec::new(),
        gas_limit: 1,
        deadline: Time(100_000),
        value: U256::ZERO,
    }
}
