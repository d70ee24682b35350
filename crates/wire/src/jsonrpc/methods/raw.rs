//! `debug_getRawTransaction` and `debug_getRawReceipts`: in the bytes that a block's tries are over. There are no raw headers:
//! a block's hash is not that of a header.

use crate::jsonrpc::arguments::read;
use crate::jsonrpc::block_id::unknown_block;
use crate::jsonrpc::chain::{Chain, Found};
use crate::jsonrpc::error::Answer;
use crate::jsonrpc::node::Node;
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::BlockId;
use jsonrpsee::types::Params;

impl<C: Chain> Node<C> {
    pub(super) async fn get_raw_transaction(&self, params: Params<'static>) -> Answer<Bytes> {
        let (hash,): (B256,) = read(&params)?;
        match self.chain.transaction(hash).await? {
            None => Ok(Bytes::new()),
            Some(Found::Pending { bytes, .. }) => Ok(bytes.into()),
            Some(Found::Placed(entry)) => Ok(self.seen(&entry).raw()),
        }
    }

    pub(super) async fn get_raw_receipts(&self, params: Params<'static>) -> Answer<Vec<Bytes>> {
        let (id,): (BlockId,) = read(&params)?;
        let slot = self.slot_of(id).await?.ok_or_else(unknown_block)?;
        self.viewed(slot, |view| Ok(view.raw_receipts())).await
    }
}
