//! Blocks, their receipts and their fees.

use crate::jsonrpc::arguments::{Count, read};
use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::error::Answer;
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::{BlockView, Detail, hex};
use crate::rejection::Rejection;
use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, FeeHistory};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Slot;
use serde_json::Value;

impl<C: Chain> Node<C> {
    pub(super) async fn block_number(&self, params: Params<'static>) -> Answer<String> {
        read::<()>(&params)?;
        Ok(hex(self.chain.head().await?.0))
    }

    pub(super) async fn get_fee_history(&self, params: Params<'static>) -> Answer<FeeHistory> {
        let (Count(count), newest, percentiles) = read(&params)?;
        self.fee_history(count, newest, percentiles).await
    }

    pub(super) async fn get_block_by_number(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (tag, full) = read(&params)?;
        self.rpc_block(self.slot_of_tag(tag).await?, full).await
    }

    pub(super) async fn get_block_by_hash(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (hash, full): (B256, _) = read(&params)?;
        self.rpc_block(self.chain.slot_of_hash(hash).await?, full).await
    }

    async fn rpc_block(&self, slot: Option<Slot>, full: Option<bool>) -> Answer<Option<Value>> {
        let Some(slot) = slot else { return Ok(None) };
        let detail = if full == Some(true) { Detail::Full } else { Detail::Hashes };
        self.viewed(slot, |view| view.block(detail)).await.map(Some)
    }

    pub(super) async fn get_header_by_number(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (tag,): (BlockNumberOrTag,) = read(&params)?;
        self.header_of(self.slot_of_tag(tag).await?).await
    }

    pub(super) async fn get_header_by_hash(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (hash,): (B256,) = read(&params)?;
        self.header_of(self.chain.slot_of_hash(hash).await?).await
    }

    async fn header_of(&self, slot: Option<Slot>) -> Answer<Option<Value>> {
        let Some(slot) = slot else { return Ok(None) };
        self.viewed(slot, |view| view.header_alone()).await.map(Some)
    }

    pub(super) async fn get_transaction_count_by_number(&self, params: Params<'static>) -> Answer<Option<String>> {
        let (tag,): (BlockNumberOrTag,) = read(&params)?;
        self.transaction_count_in(self.slot_of_tag(tag).await?).await
    }

    pub(super) async fn get_transaction_count_by_hash(&self, params: Params<'static>) -> Answer<Option<String>> {
        let (hash,): (B256,) = read(&params)?;
        self.transaction_count_in(self.chain.slot_of_hash(hash).await?).await
    }

    async fn transaction_count_in(&self, slot: Option<Slot>) -> Answer<Option<String>> {
        let Some(slot) = slot else { return Ok(None) };
        self.viewed(slot, |view| Ok(hex(view.block.outcomes.len() as u64))).await.map(Some)
    }

    /// Zero: slots have no uncles. None where there is no such block.
    pub(super) async fn get_uncle_count_by_number(&self, params: Params<'static>) -> Answer<Option<&'static str>> {
        let (tag,): (BlockNumberOrTag,) = read(&params)?;
        Ok(self.slot_of_tag(tag).await?.map(|_| "0x0"))
    }

    pub(super) async fn get_uncle_count_by_hash(&self, params: Params<'static>) -> Answer<Option<&'static str>> {
        let (hash,): (B256,) = read(&params)?;
        Ok(self.chain.slot_of_hash(hash).await?.map(|_| "0x0"))
    }

    pub(super) fn get_uncle_by_number(params: &Params<'_>) -> Answer<Value> {
        read::<(BlockNumberOrTag, u64)>(params).map(|_| Value::Null)
    }

    pub(super) fn get_uncle_by_hash(params: &Params<'_>) -> Answer<Value> {
        read::<(B256, u64)>(params).map(|_| Value::Null)
    }

    pub(super) async fn get_block_receipts(&self, params: Params<'static>) -> Answer<Option<Vec<Value>>> {
        let (id,): (BlockId,) = read(&params)?;
        let Some(slot) = self.slot_of(id).await? else { return Ok(None) };
        let receipts = |view: BlockView<'_>| view.entries().map(|entry| entry.receipt()).collect();
        self.viewed(slot, receipts).await.map(Some)
    }

    /// What `see` says of the block of a closed slot.
    pub(in crate::jsonrpc) async fn viewed<T>(
        &self,
        slot: Slot,
        see: impl FnOnce(BlockView<'_>) -> Answer<T>,
    ) -> Answer<T> {
        let block = self.chain.block(slot).await.map_err(|rejection: Rejection| ErrorObjectOwned::from(rejection))?;
        see(BlockView { params: self.chain.params(), block: &block, time: self.chain.time_of(slot) })
    }
}
