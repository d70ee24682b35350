//! One real transaction on a network small enough to be made anew for it: the values it reads, and who owns them.

use alloy_primitives::{Address, B256, U256};
use evm::{Data, Executed, Lookup, NetworkParams, Payload, PayloadVerifier, Placement, State, WithProofs, execute};
use primitives::Verified;
use shard::{GenesisAccount, GenesisAccounts};
use std::collections::BTreeMap;

/// A transaction, and the state it meets.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Where it is from.
    pub name: String,
    /// The network's.
    pub params: NetworkParams,
    /// Who owns what.
    pub placement: Placement,
    /// All of the state, as it is.
    pub state: State,
    /// What the shards start from: the same, unless a test blinds somebody.
    pub genesis: GenesisAccounts,
    /// The transaction.
    pub payload: Payload,
}

impl Scene {
    /// A scene in which every shard has its part of `state`.
    pub fn new(name: String, params: NetworkParams, placement: Placement, state: State, payload: Payload) -> Self {
        let genesis = genesis(&state);
        Self { name, params, placement, state, genesis, payload }
    }

    /// What `payload` does on `state`, where the codes in `proven` are proven to be where they are.
    pub fn run(&self, payload: &Payload, state: &State, proven: &BTreeMap<Address, B256>) -> Option<Executed> {
        let payload = Verified::by(&PayloadVerifier::new(self.params.clone()), payload.clone()).ok()?;
        let proofs = |address| Lookup::Known(proven.get(&address).copied());
        execute(&self.params, &self.placement, &payload, &WithProofs { view: state, proofs }).ok()
    }
}

/// A state as shards start from it.
pub fn genesis(state: &State) -> GenesisAccounts {
    let mut accounts = GenesisAccounts::default();
    for (address, account) in &state.accounts {
        let code = state.codes.get(&account.code_hash);
        let slots = state.slots.range((*address, U256::ZERO)..=(*address, U256::MAX));
        let entry = GenesisAccount {
            nonce: account.nonce,
            balance: account.balance,
            code: code.map(|code| Data(code.original_bytes())).unwrap_or_default(),
            storage: slots.map(|((_, slot), value)| (*slot, *value)).collect(),
            ..GenesisAccount::default()
        };
        accounts.insert(*address, entry);
    }
    accounts
}

/// The part of `state` that belongs to `addresses`.
pub fn part<'a>(state: &State, addresses: impl Iterator<Item = &'a Address>) -> State {
    let mut part = State::default();
    for address in addresses {
        let Some(account) = state.accounts.get(address) else { continue };
        part.accounts.insert(*address, *account);
        if let Some(code) = state.codes.get(&account.code_hash) {
            part.codes.insert(account.code_hash, code.clone());
        }
        let slots = state.slots.range((*address, U256::ZERO)..=(*address, U256::MAX));
        part.slots.extend(slots.map(|(key, value)| (*key, *value)));
    }
    part
}
