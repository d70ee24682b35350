//! What an account is, apart from its storage.

use alloy_primitives::{B256, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use revm::primitives::KECCAK_EMPTY;
use revm::state::AccountInfo;

/// Nonce, balance and code of an account that exists; one that does not exist has no such state.
///
/// Before Spurious Dragon an account may exist and be empty; from then on an empty one is removed when it is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct AccountState {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// keccak256 of the code; that of no bytes where there is no code.
    pub code_hash: B256,
}

impl AccountState {
    /// An account with nothing in it.
    pub const EMPTY: Self = Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY };

    /// An account with `balance` wei and nothing else.
    pub fn with_balance(balance: U256) -> Self {
        Self { balance, ..Self::EMPTY }
    }

    /// What a replay has of an account of which it is only told the code. Nobody has such a nonce and balance, so that a use
    /// of them which was not noticed shows.
    pub(crate) fn of_code(code_hash: B256) -> Self {
        Self { nonce: 0x5eed_c0de, balance: U256::from(0x5eed_c0de_u64), code_hash }
    }

    /// Whether nonce, balance and code are all empty (EIP-161).
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Whether it has code.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK_EMPTY
    }

    /// As revm takes it: the code is left out, so that revm asks for it by its hash.
    pub(crate) fn info(&self) -> AccountInfo {
        // A default code would turn a contract into an account without code.
        AccountInfo {
            balance: self.balance,
            nonce: self.nonce,
            code_hash: self.code_hash,
            account_id: None,
            code: None,
        }
    }

    /// As revm gives it.
    pub(crate) fn of(info: &AccountInfo) -> Self {
        Self { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash }
    }
}
