//! What shards hold, out of their stores.

use alloy_primitives::{Address, B256, U256};
use evm::{AccountState, FeesKey, State};
use primitives::{Memory, ShardId};
use shard::spaces::{ACCOUNTS, CODES, FEES, SLOTS};

/// Most canonical bytes of an account.
const ACCOUNT_BYTES_MAX: usize = 1024;

/// What one shard's store holds.
///
/// # Panics
/// If the store holds what no shard wrote.
#[allow(clippy::expect_used, reason = "a shard wrote it")]
pub fn state_of(store: &Memory, shard: ShardId) -> State {
    let mut state = State::default();
    for (key, value) in store.entries(ACCOUNTS) {
        let account: AccountState = primitives::decode(value, ACCOUNT_BYTES_MAX).expect("an account");
        state.accounts.insert(Address::from_slice(key), account);
    }
    for (key, value) in store.entries(SLOTS) {
        let slot = (Address::from_slice(&key[..20]), U256::from_be_slice(&key[20..]));
        state.slots.insert(slot, U256::from_be_slice(value));
    }
    for (key, value) in store.entries(FEES) {
        state.fees.insert(FeesKey { shard, beneficiary: Address::from_slice(key) }, U256::from_be_slice(value));
    }
    for (key, value) in store.entries(CODES) {
        state.add_code(B256::from_slice(key), &value.to_vec().into()).expect("a code under its hash");
    }
    state
}
