//! Between the machine's types and those of the wire.

use commit::{VOTE_BYTES_MAX, Vote, VoteProof};
use evm::{Data, StateKey};
use host::network::Genesis;
use proof::Receipt;
use shard::GenesisAccounts;
use wire::state::{FreshValue, StateValue};
use wire::{Reason, Rejection};

/// The genesis of the network file, as the shard takes it.
pub(crate) fn genesis(genesis: &Genesis) -> GenesisAccounts {
    let account = |account: &host::network::GenesisAccount| shard::GenesisAccount {
        nonce: account.nonce,
        balance: account.balance,
        code: Data(account.code.clone()),
        code_hash: account.code_hash,
        storage: account.storage.clone(),
    };
    genesis.accounts.iter().map(|(address, given)| (*address, account(given))).collect()
}

/// A vote's receipt as the evidence that travels.
pub(crate) fn vote_proof(receipt: &Receipt) -> Result<VoteProof, Rejection> {
    let vote: Vote = primitives::decode(&receipt.leaf.body, VOTE_BYTES_MAX)?;
    Ok(VoteProof { vote, evidence: receipt.to_bytes() })
}

/// One of the shard's values, as a hint.
pub(crate) fn fresh_value(value: &shard::FreshValue) -> FreshValue {
    match *value {
        shard::FreshValue::Account(address, account) => {
            FreshValue { key: StateKey::Account(address), value: StateValue::Account(account) }
        }
        shard::FreshValue::Slot(address, slot, number) => {
            FreshValue { key: StateKey::Slot(address, slot), value: StateValue::Slot(number) }
        }
        shard::FreshValue::Fees(key, wei) => FreshValue { key: StateKey::Fees(key), value: StateValue::Fees(wei) },
    }
}

/// A record points at a leaf that is not there.
pub(crate) fn lost() -> Rejection {
    Rejection::new(Reason::StoreFailed, "a record points at a leaf that the store does not have")
}
