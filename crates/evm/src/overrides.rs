//! What a caller wants to be otherwise than it is: accounts, storage and the block, for one simulated run.
//!
//! Promise: nothing of it reaches a state; it is written over the draft of a run that is thrown away.
//! Source: geth's `StateOverride` and `BlockOverrides`; execution-apis, `eth_simulateV1`.

use crate::{AccountState, BlockEnvironment, Data};
use alloy_primitives::{Address, B256, U256};
use revm::context::BlockEnv;
use revm::context_interface::block::BlobExcessGasAndPrice;
use std::collections::BTreeMap;

/// Storage that is otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StorageOverride {
    /// As it is.
    #[default]
    None,
    /// These slots and no others: all else is zero.
    Whole(BTreeMap<U256, U256>),
    /// These slots, all else as it is.
    Parts(BTreeMap<U256, U256>),
}

/// An account that is otherwise; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountOverride {
    /// Wei.
    pub balance: Option<U256>,
    /// Transactions sent.
    pub nonce: Option<u64>,
    /// Its code; no bytes for none.
    pub code: Option<Data>,
    /// Its storage.
    pub storage: StorageOverride,
    /// Where the precompile that is here is instead.
    pub precompile_to: Option<Address>,
}

impl AccountOverride {
    /// The account that `before` is with this written over it.
    pub(crate) fn over(&self, before: Option<AccountState>, code_hash: Option<B256>) -> Option<AccountState> {
        if self.balance.is_none() && self.nonce.is_none() && code_hash.is_none() {
            return before;
        }
        let before = before.unwrap_or(AccountState::EMPTY);
        Some(AccountState {
            nonce: self.nonce.unwrap_or(before.nonce),
            balance: self.balance.unwrap_or(before.balance),
            code_hash: code_hash.unwrap_or(before.code_hash),
        })
    }
}

/// A block that is otherwise; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockOverrides {
    /// NUMBER.
    pub number: Option<u64>,
    /// TIMESTAMP, seconds.
    pub timestamp: Option<u64>,
    /// GASLIMIT.
    pub gas_limit: Option<u64>,
    /// COINBASE.
    pub beneficiary: Option<Address>,
    /// BASEFEE, wei per gas.
    pub base_fee: Option<u64>,
    /// PREVRANDAO.
    pub randomness: Option<B256>,
    /// BLOBBASEFEE, wei per gas.
    pub blob_base_fee: Option<u128>,
    /// DIFFICULTY before the merge.
    pub difficulty: Option<U256>,
}

impl BlockOverrides {
    /// The block that `block` is with this written over it.
    pub(crate) fn over(&self, block: &BlockEnvironment) -> BlockEnv {
        let mut env = block.block_env();
        env.number = self.number.map_or(env.number, U256::from);
        env.slot_num = self.number.unwrap_or(env.slot_num);
        env.timestamp = self.timestamp.map_or(env.timestamp, U256::from);
        env.gas_limit = self.gas_limit.unwrap_or(env.gas_limit);
        env.beneficiary = self.beneficiary.unwrap_or(env.beneficiary);
        env.basefee = self.base_fee.unwrap_or(env.basefee);
        env.difficulty = self.difficulty.unwrap_or(env.difficulty);
        env.prevrandao = self.randomness.or(env.prevrandao);
        if let Some(blob_gasprice) = self.blob_base_fee {
            let excess_blob_gas = block.blob.map_or(0, |blob| blob.excess_gas);
            env.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice });
        }
        env
    }
}

/// All that is otherwise for one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Accounts, by address.
    pub accounts: BTreeMap<Address, AccountOverride>,
    /// The block.
    pub block: BlockOverrides,
}
