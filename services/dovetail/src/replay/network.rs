//! The network that a block is replayed on: its pre-state as genesis, its chain id, system transactions allowed.

use crate::cluster::Plan;
use crate::replay::Settings;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use evm::mainnet::MainnetBlock;
use evm::{AccountState, State};
use eyre::Result;
use host::network::{EnvironmentSource, Genesis, GenesisAccount};
use std::collections::BTreeMap;

/// Why a block's pre-state is no genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// An account's code is known by its hash alone.
    #[error(
        "the file has account {account} without its code {hash}, and a network starts from codes: this block cannot \
             be replayed over processes"
    )]
    NoCode {
        /// Whose.
        account: Address,
        /// Which.
        hash: B256,
    },
}

/// What to start.
pub(crate) fn plan(block: &MainnetBlock, settings: &Settings) -> Result<Plan> {
    let pinned = settings.placement_seed.map(|seed| drawn(block.pre_state(), seed, settings.shards));
    Ok(Plan {
        network: block.params().network.0,
        coordinators: 1,
        relays: 0,
        fork: block.spec().to_string(),
        environments: EnvironmentSource::Replay,
        pinned: pinned.unwrap_or_default(),
        genesis: genesis(block.pre_state())?,
        program: settings.program.clone(),
        ..Plan::new(settings.shards)?
    })
}

/// A shard for each account, drawn from the seed: the same on every machine.
fn drawn(state: &State, seed: u64, shards: u32) -> BTreeMap<Address, u32> {
    let draw = |address: &Address| {
        let hash = keccak256([address.as_slice(), &seed.to_be_bytes()].concat());
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % shards
    };
    state.accounts.keys().map(|address| (*address, draw(address))).collect()
}

fn genesis(state: &State) -> Result<Genesis, GenesisError> {
    let mut genesis = Genesis::default();
    for (address, account) in &state.accounts {
        let AccountState { nonce, balance, .. } = *account;
        let code = code(state, *address, account)?;
        genesis.accounts.insert(*address, GenesisAccount { nonce, balance, code, storage: BTreeMap::new() });
    }
    for ((address, slot), value) in &state.slots {
        genesis.accounts.entry(*address).or_default().storage.insert(*slot, *value);
    }
    Ok(genesis)
}

fn code(state: &State, account: Address, has: &AccountState) -> Result<Bytes, GenesisError> {
    if !has.has_code() {
        return Ok(Bytes::new());
    }
    let hash = has.code_hash;
    state.codes.get(&hash).map(evm::Bytecode::original_bytes).ok_or(GenesisError::NoCode { account, hash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    fn state() -> State {
        let mut state = State::default();
        for byte in 1..=64 {
            let address = Address::repeat_byte(byte);
            state.accounts.insert(address, AccountState::with_balance(U256::from(byte)));
            state.set_slot(address, U256::from(1), U256::from(byte));
        }
        state
    }

    #[test]
    fn a_seed_places_every_account_the_same_way_each_time() {
        let drawn_once = drawn(&state(), 7, 4);
        assert_eq!(drawn_once, drawn(&state(), 7, 4));
        assert_ne!(drawn_once, drawn(&state(), 8, 4));
        assert_eq!(drawn_once.len(), 64);
        for shard in 0..4 {
            assert!(drawn_once.values().any(|drawn| *drawn == shard), "nothing on shard {shard}");
        }
    }

    #[test]
    fn the_genesis_is_the_pre_state() {
        let genesis = genesis(&state()).unwrap();
        assert_eq!(crate::oracle::genesis(&genesis), Ok(state()));
    }

    #[test]
    fn an_account_whose_code_is_not_in_the_file_is_refused() {
        let mut state = state();
        let account = Address::repeat_byte(3);
        let hash = keccak256([1, 2, 3]);
        state.accounts.insert(account, AccountState { code_hash: hash, ..AccountState::EMPTY });
        assert_eq!(genesis(&state), Err(GenesisError::NoCode { account, hash }));
    }
}
