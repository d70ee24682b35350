//! Accounts and storage.

use super::Answer;
use crate::jsonrpc::arguments::{StorageKey, read};
use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::hex;
use alloy_primitives::{B256, Bytes, U256};
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag};
use jsonrpsee::types::Params;

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
}
