//! The network that a block is replayed on: its pre-state as genesis, its chain id, system transactions allowed.

use crate::replay::Placed;
use alloy_primitives::{Address, B256, Bytes, U256};
use cluster::Plan;
use evm::mainnet::MainnetBlock;
use evm::{AccountState, State};
use eyre::Result;
use host::network::{EnvironmentSource, Genesis, GenesisAccount};
use shard::GenesisAccounts;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The processes to start.
pub(crate) fn plan(block: &MainnetBlock, placed: &Placed, program: PathBuf) -> Result<Plan> {
    let pinned = placed.placement.pinned().iter().map(|(address, shard)| (*address, shard.0));
    Ok(Plan {
        network: block.params().network.0,
        coordinators: 1,
        relays: 0,
        fork: block.spec().to_string(),
        environments: EnvironmentSource::Replay,
        pinned: pinned.collect(),
        genesis: genesis(block.pre_state()),
        program,
        ..Plan::new(placed.placement.shards_count())?
    })
}

/// The state before the block, as a network file has it.
fn genesis(state: &State) -> Genesis {
    let account = |(address, account): (&Address, &AccountState)| {
        let (AccountState { nonce, balance, .. }, Known { code, code_hash }) = (*account, code(state, account));
        (*address, GenesisAccount { nonce, balance, code, code_hash, storage: storage(state, *address) })
    };
    Genesis { accounts: state.accounts.iter().map(account).collect(), ..Genesis::default() }
}

/// The same, as a shard takes it.
pub(crate) fn accounts(state: &State) -> GenesisAccounts {
    let account = |(address, account): (&Address, &AccountState)| {
        let (AccountState { nonce, balance, .. }, Known { code, code_hash }) = (*account, code(state, account));
        let (code, storage) = (code.into(), storage(state, *address));
        (*address, shard::GenesisAccount { nonce, balance, code, code_hash, storage })
    };
    state.accounts.iter().map(account).collect()
}

fn storage(state: &State, address: Address) -> BTreeMap<U256, U256> {
    let slots = state.slots.range((address, U256::ZERO)..=(address, U256::MAX));
    slots.map(|((_, slot), value)| (*slot, *value)).collect()
}

/// What is known of an account's code.
struct Known {
    code: Bytes,
    /// Of a code that is not in the file: the block looks at the account and does not run it.
    code_hash: Option<B256>,
}

fn code(state: &State, account: &AccountState) -> Known {
    match state.codes.get(&account.code_hash) {
        Some(code) => Known { code: code.original_bytes(), code_hash: None },
        None => Known { code: Bytes::new(), code_hash: account.has_code().then_some(account.code_hash) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

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
    fn the_genesis_is_the_pre_state() {
        assert_eq!(judge::genesis(&genesis(&state())), Ok(state()));
    }

    #[test]
    fn an_account_whose_code_is_not_in_the_file_keeps_the_hash_of_it() {
        let mut state = state();
        let account = Address::repeat_byte(3);
        let code_hash = keccak256([1, 2, 3]);
        state.accounts.insert(account, AccountState { code_hash, ..AccountState::EMPTY });
        assert_eq!(judge::genesis(&genesis(&state)), Ok(state.clone()));
        assert_eq!(accounts(&state)[&account].code_hash, Some(code_hash));
        assert_eq!(accounts(&state)[&Address::repeat_byte(4)].code_hash, None);
    }
}
