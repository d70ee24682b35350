//! The union of all shards' states after a block, read over gRPC from those that own its parts.

use alloy_primitives::{Address, U256};
use evm::mainnet::MainnetBlock;
use evm::{FeesKey, State, StateKey};
use eyre::{Result, WrapErr};
use host::network::Network;
use primitives::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use wire::client::{ClientSettings, Connection};
use wire::limits::STATE_KEYS_COUNT_MAX;
use wire::shard::ShardClient;
use wire::state::StateValue;

/// The state of everything that `block` began with or that one EVM (`plain`) ends with, fees in their accounts.
pub(crate) async fn read(network: &Network, block: &MainnetBlock, plain: &State) -> Result<State> {
    // The codes are not read back: they are named by their hashes, which are.
    let mut union = State { codes: plain.codes.clone(), ..State::default() };
    for (shard, keys) in keys(network, block, plain) {
        let endpoint = network.endpoints.get(&shard).cloned().unwrap_or_default();
        let client = ShardClient::new(Connection::open(&ClientSettings::plain(endpoint))?);
        for keys in keys.chunks(STATE_KEYS_COUNT_MAX) {
            let read = client.read_state(keys, &BTreeSet::new()).await;
            let read = read.wrap_err_with(|| format!("shard {shard} does not say what it holds"))?;
            for (key, read) in keys.iter().zip(read.values) {
                put(&mut union, *key, read.value);
            }
        }
    }
    Ok(union.settled())
}

/// Every key that may hold something, by owner.
fn keys(network: &Network, block: &MainnetBlock, plain: &State) -> BTreeMap<ShardId, Vec<StateKey>> {
    let before = block.pre_state();
    let accounts: BTreeSet<Address> = before.accounts.keys().chain(plain.accounts.keys()).copied().collect();
    let slots: BTreeSet<(Address, U256)> = before.slots.keys().chain(plain.slots.keys()).copied().collect();
    let beneficiary = block.header().beneficiary;
    let accounts = accounts.into_iter().map(StateKey::Account);
    let slots = slots.into_iter().map(|(address, slot)| StateKey::Slot(address, slot));
    let fees = network.placement.shards().map(|shard| StateKey::Fees(FeesKey { shard, beneficiary }));
    let mut keys: BTreeMap<ShardId, Vec<StateKey>> = BTreeMap::new();
    for key in accounts.chain(slots).chain(fees) {
        keys.entry(network.placement.owner(key)).or_default().push(key);
    }
    keys
}

fn put(state: &mut State, key: StateKey, value: StateValue) {
    match (key, value) {
        (StateKey::Account(address), StateValue::Account(Some(account))) => {
            state.accounts.insert(address, account);
        }
        (StateKey::Slot(address, slot), StateValue::Slot(value)) => state.set_slot(address, slot, value),
        (StateKey::Fees(key), StateValue::Fees(wei)) if !wei.is_zero() => {
            state.fees.insert(key, wei);
        }
        // Nothing there; of another kind a client's answer never is.
        _ => {}
    }
}
