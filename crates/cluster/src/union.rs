//! The union of all shards' states, read over gRPC from those that own its parts.

use alloy_primitives::Address;
use evm::{FeesKey, State, StateKey};
use eyre::{Result, WrapErr};
use host::network::Network;
use primitives::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use wire::client::{ClientSettings, Connection};
use wire::limits::STATE_KEYS_COUNT_MAX;
use wire::shard::ShardClient;
use wire::state::StateValue;

/// The state of everything that was there `before` or that one EVM ends with (`plain`), fees in the `beneficiary`'s account.
pub async fn read(network: &Network, before: &State, plain: &State, beneficiary: Address) -> Result<State> {
    // Codes are not read back: they are named by their hashes, which are.
    let mut union = State { codes: plain.codes.clone(), ..State::default() };
    for (shard, keys) in keys(network, before, plain, beneficiary) {
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
fn keys(network: &Network, before: &State, plain: &State, beneficiary: Address) -> BTreeMap<ShardId, Vec<StateKey>> {
    let accounts = before.accounts.keys().chain(plain.accounts.keys()).copied().map(StateKey::Account);
    let slots = before.slots.keys().chain(plain.slots.keys()).map(|(address, slot)| StateKey::Slot(*address, *slot));
    let fees = network.placement.shards().map(|shard| StateKey::Fees(FeesKey { shard, beneficiary }));
    let mut keys: BTreeMap<ShardId, Vec<StateKey>> = BTreeMap::new();
    for key in accounts.chain(slots).chain(fees).collect::<BTreeSet<_>>() {
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
