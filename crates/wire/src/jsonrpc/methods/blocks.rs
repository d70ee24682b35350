//! Blocks, their receipts and their fees.

use super::Answer;
use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::error::invalid_params;
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::{BlockView, Detail, hex};
use crate::rejection::Rejection;
use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, FeeHistory};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Slot;
use serde_json::Value;

impl<C: Chain> Node<C> {
    pub(super) async fn block_number(&self, _: Params<'static>) -> Answer<String> {
        Ok(hex(self.chain.head().await?.0))
    }

    pub(super) async fn get_fee_history(&self, params: Params<'static>) -> Answer<FeeHistory> {
        let (count, newest, percentiles) = {
            let mut params = params.sequence();
            let count = quantity(&params.next()?)?;
            (count, params.next::<BlockNumberOrTag>()?, params.optional_next::<Vec<f64>>()?)
        };
        self.fee_history(count, newest, percentiles).await
    }

    pub(super) async fn get_block_by_number(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (tag, full) = {
            let mut params = params.sequence();
            (params.next::<BlockNumberOrTag>()?, params.optional_next::<bool>()?)
        };
        self.rpc_block(self.slot_of_tag(tag).await?, full).await
    }

    pub(super) async fn get_block_by_hash(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (hash, full) = {
            let mut params = params.sequence();
            (params.next::<B256>()?, params.optional_next::<bool>()?)
        };
        self.rpc_block(self.chain.slot_of_hash(hash).await?, full).await
    }

    async fn rpc_block(&self, slot: Option<Slot>, full: Option<bool>) -> Answer<Option<Value>> {
        let Some(slot) = slot else { return Ok(None) };
        let detail = if full == Some(true) { Detail::Full } else { Detail::Hashes };
        self.viewed(slot, |view| view.block(detail)).await.map(Some)
    }

    pub(super) async fn get_block_transaction_count(&self, params: Params<'static>) -> Answer<Option<String>> {
        let id: BlockId = params.sequence().next()?;
        let Some(slot) = self.slot_of(id).await? else { return Ok(None) };
        self.viewed(slot, |view| Ok(hex(view.block.outcomes.len() as u64))).await.map(Some)
    }

    pub(super) async fn get_block_receipts(&self, params: Params<'static>) -> Answer<Option<Vec<Value>>> {
        let id: BlockId = params.sequence().next()?;
        let Some(slot) = self.slot_of(id).await? else { return Ok(None) };
        let receipts = |view: BlockView<'_>| (0..view.block.outcomes.len()).map(|index| view.receipt(index)).collect();
        self.viewed(slot, receipts).await.map(Some)
    }

    /// What `see` says of the block of a closed slot.
    pub(super) async fn viewed<T>(&self, slot: Slot, see: impl FnOnce(BlockView<'_>) -> Answer<T>) -> Answer<T> {
        let block = self.chain.block(slot).await.map_err(|rejection: Rejection| ErrorObjectOwned::from(rejection))?;
        see(BlockView { params: self.chain.params(), block: &block })
    }
}

/// A number in hex, or as a JSON number, which some clients send.
fn quantity(value: &Value) -> Answer<u64> {
    let text = value.as_str().and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    text.or_else(|| value.as_u64()).ok_or_else(|| invalid_params(format!("{value} is no quantity")))
}
