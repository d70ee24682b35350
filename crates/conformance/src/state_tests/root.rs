//! The hashes that a state test expects: of a state, and of logs.

use alloy_consensus::TrieAccount;
use alloy_consensus::proofs::{state_root_unhashed, storage_root_unhashed};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Encodable;
use evm::{AccountState, Log, State};

/// The root of the Merkle Patricia trie over `state`, which has no fragments of fees.
pub(crate) fn state_root(state: &State) -> B256 {
    let account = |(address, account): (&Address, &AccountState)| {
        let slots = state.slots.range((*address, U256::ZERO)..=(*address, U256::MAX));
        let slots = slots.map(|((_, slot), value)| (B256::from(*slot), *value));
        let entry = TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: storage_root_unhashed(slots),
            code_hash: account.code_hash,
        };
        (*address, entry)
    };
    state_root_unhashed(state.accounts.iter().map(account))
}

/// keccak256 of the RLP of `logs`.
pub(crate) fn logs_hash(logs: &[Log]) -> B256 {
    let logs: Vec<alloy_primitives::Log> = logs.iter().cloned().map(Into::into).collect();
    let mut bytes = Vec::new();
    logs.encode(&mut bytes);
    keccak256(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    #[test]
    fn nothing_hashes_to_what_every_client_says() {
        assert_eq!(state_root(&State::default()), alloy_consensus::constants::EMPTY_ROOT_HASH);
        let no_logs = b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
        assert_eq!(logs_hash(&[]), no_logs);
    }

    #[test]
    fn a_root_sees_every_account_and_every_slot() {
        let mut state = State::default();
        let mut roots = std::collections::BTreeSet::from([state_root(&state)]);
        for byte in 1..=20 {
            let address = Address::repeat_byte(byte);
            state.accounts.insert(address, AccountState::with_balance(U256::from(byte)));
            assert!(roots.insert(state_root(&state)));
            state.set_slot(address, U256::from(byte), U256::from(1));
            assert!(roots.insert(state_root(&state)));
        }
    }
}
