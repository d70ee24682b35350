//! Accounts and storage.

use crate::jsonrpc::arguments::{StorageKey, StorageKeys, read};
use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::error::{Answer, invalid_params};
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::hex;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag};
use futures_util::future::try_join_all;
use jsonrpsee::types::Params;
use std::collections::BTreeMap;

/// The most slots that one `eth_getStorageValues` reads.
const STORAGE_VALUES_COUNT_MAX: usize = 1_024;

impl<C: Chain> Node<C> {
    pub(super) async fn get_balance(&self, params: Params<'static>) -> Answer<U256> {
        let (address, id) = read(&params)?;
        let moment = self.moment_of(id).await?;
        Ok(self.chain.account(address, moment).await?.balance)
    }

    pub(super) async fn get_transaction_count(&self, params: Params<'static>) -> Answer<String> {
        let (address, id) = read(&params)?;
        if id == Some(BlockId::Number(BlockNumberOrTag::Pending)) {
            return Ok(hex(self.chain.next_nonce(address).await?));
        }
        let moment = self.moment_of(id).await?;
        Ok(hex(self.chain.account(address, moment).await?.nonce))
    }

    pub(super) async fn get_code(&self, params: Params<'static>) -> Answer<Bytes> {
        let (address, id) = read(&params)?;
        let moment = self.moment_of(id).await?;
        Ok(self.chain.account(address, moment).await?.code.into())
    }

    pub(super) async fn get_storage_at(&self, params: Params<'static>) -> Answer<B256> {
        let (address, StorageKey(slot), id) = read(&params)?;
        let moment = self.moment_of(id).await?;
        Ok(self.chain.storage(address, slot, moment).await?.into())
    }

    /// Slots of many accounts, in the order that they are asked for.
    pub(super) async fn get_storage_values(&self, params: Params<'static>) -> Answer<BTreeMap<Address, Vec<B256>>> {
        let (StorageKeys(keys), id) = read(&params)?;
        let count: usize = keys.values().map(Vec::len).sum();
        if count == 0 {
            return Err(invalid_params("empty request"));
        }
        if count > STORAGE_VALUES_COUNT_MAX {
            return Err(invalid_params(format!("{count} slots where at most {STORAGE_VALUES_COUNT_MAX} are allowed")));
        }
        let moment = self.moment_of(id).await?;
        let mut values = BTreeMap::new();
        for (address, keys) in keys {
            let of_account = keys.into_iter().map(|StorageKey(key)| self.chain.storage(address, key, moment));
            let of_account: Vec<U256> = try_join_all(of_account).await?;
            values.insert(address, of_account.into_iter().map(B256::from).collect());
        }
        Ok(values)
    }
}
