//! What a shard's store holds, and how a contract is asked to send a message.

use crate::sample;
use alloy_primitives::{Address, B256, U256, keccak256};
use evm::{FeesKey, State};
use primitives::{Memory, Millis, ShardId};
use shard::spaces::{ACCOUNTS, CODES, FEES, SLOTS};

/// Most bytes of a stored account.
const ACCOUNT_BYTES_MAX: usize = 1024;

/// Everything these shards hold, from shard 0 on, as one state.
pub(crate) fn union<'a>(stores: impl IntoIterator<Item = &'a Memory>) -> State {
    let states: Vec<State> = (0..).zip(stores).map(|(shard, store)| state(ShardId(shard), store)).collect();
    State::union(&states).expect("nobody holds another's")
}

fn state(shard: ShardId, store: &Memory) -> State {
    let mut state = State::default();
    for (key, value) in store.entries(ACCOUNTS) {
        let account = primitives::decode(value, ACCOUNT_BYTES_MAX).expect("a stored account");
        state.accounts.insert(Address::from_slice(key), account);
    }
    for (key, value) in store.entries(SLOTS) {
        let (address, slot) = key.split_at(20);
        state.slots.insert((Address::from_slice(address), U256::from_be_slice(slot)), U256::from_be_slice(value));
    }
    for (key, value) in store.entries(FEES) {
        let key = FeesKey { shard, beneficiary: Address::from_slice(key) };
        state.fees.insert(key, U256::from_be_slice(value));
    }
    for (key, value) in store.entries(CODES) {
        state.add_code(B256::from_slice(key), &value.to_vec().into()).expect("code under its hash");
    }
    state
}

/// A call of the mailbox: three bytes to `recipient` in `domain`, within half a minute.
pub(crate) fn dispatch(domain: u32, recipient: Address) -> Vec<u8> {
    let mut call = keccak256("dispatch(uint32,bytes32,bytes,uint64,uint64)")[..4].to_vec();
    let deadline = sample::START.after(Millis(30_000)).0;
    let words = [
        U256::from(domain),
        U256::from_be_slice(recipient.as_slice()),
        U256::from(160),
        U256::from(100_000),
        U256::from(deadline),
        U256::from(3),
    ];
    for word in words {
        call.extend(word.to_be_bytes::<32>());
    }
    call.extend([b"hey".as_slice(), &[0; 29]].concat());
    call
}
