//! Transactions: sent, found, and what became of them.

use crate::jsonrpc::arguments::{Patience, read};
use crate::jsonrpc::chain::{Chain, Found};
use crate::jsonrpc::error::{Answer, SERVER_ERROR_CODE, error};
use crate::jsonrpc::network_form::without_blobs;
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::{BlockView, hex, pending};
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::BlockNumberOrTag;
use evm::Data;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Slot;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// How long `eth_sendRawTransactionSync` waits for a receipt if nothing else is said: a receipt is there after some seconds.
const RECEIPT_WAIT: Duration = Duration::from_secs(10);
/// How long it may be told to wait.
const RECEIPT_WAIT_MAX: Duration = Duration::from_secs(20);
/// EIP-7966: it was taken in and has no receipt yet.
const UNPROCESSED_CODE: i32 = 4;

fn unprocessed(hash: B256, patience: Duration) -> ErrorObjectOwned {
    let text = format!("The transaction was added to the transaction pool but wasn't processed in {patience:?}");
    ErrorObjectOwned::owned(UNPROCESSED_CODE, text, Some(hash))
}

impl<C: Chain> Node<C> {
    pub(super) async fn send_raw_transaction(&self, params: Params<'static>) -> Answer<B256> {
        let (transaction,): (Bytes,) = read(&params)?;
        Ok(self.chain.send_raw(Data(without_blobs(transaction)?)).await?)
    }

    /// The receipt, as soon as there is one (EIP-7966).
    pub(super) async fn send_raw_transaction_and_wait(&self, params: Params<'static>) -> Answer<Value> {
        let (transaction, patience): (Bytes, Option<Patience>) = read(&params)?;
        let patience = patience.map(|Patience(patience)| patience).filter(|patience| !patience.is_zero());
        let patience = patience.unwrap_or(RECEIPT_WAIT).min(RECEIPT_WAIT_MAX);
        let hash = self.chain.send_raw(Data(without_blobs(transaction)?)).await?;
        timeout(patience, self.receipt_of(hash)).await.unwrap_or_else(|_| Err(unprocessed(hash, patience)))
    }

    /// Waits for the receipt of a transaction that was accepted, or for the reason why there will be none.
    async fn receipt_of(&self, hash: B256) -> Answer<Value> {
        loop {
            let head = self.chain.head().await?;
            if let Some(Found::Placed(entry)) = self.chain.transaction(hash).await? {
                return self.seen(&entry).receipt();
            }
            if let Some(ended) = self.chain.refusal(hash).await? {
                return Err(error(SERVER_ERROR_CODE, ended.reason));
            }
            self.chain.wait_head(head).await?;
        }
    }

    pub(super) async fn get_transaction_by_hash(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (hash,): (B256,) = read(&params)?;
        match self.chain.transaction(hash).await? {
            None => Ok(None),
            Some(Found::Pending { bytes, sender }) => pending(&bytes, sender).map(Some),
            Some(Found::Placed(entry)) => self.seen(&entry).transaction().map(Some),
        }
    }

    pub(super) async fn get_transaction_receipt(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (hash,): (B256,) = read(&params)?;
        match self.chain.transaction(hash).await? {
            None | Some(Found::Pending { .. }) => Ok(None),
            Some(Found::Placed(entry)) => self.seen(&entry).receipt().map(Some),
        }
    }

    /// What became of a transaction whose hash was given, receipt or not.
    pub(super) async fn transaction_status(&self, params: Params<'static>) -> Answer<Value> {
        let (hash,): (B256,) = read(&params)?;
        let (found, refusal) = (self.chain.transaction(hash).await?, self.chain.refusal(hash).await?);
        Ok(match (found, refusal) {
            (Some(Found::Placed(entry)), _) => json!({ "status": "committed", "blockNumber": hex(entry.slot.0) }),
            (Some(Found::Pending { .. }), _) => json!({ "status": "pending" }),
            (None, Some(ended)) => {
                json!({ "status": "refused", "reason": ended.reason, "timestampMs": hex(ended.time.0) })
            }
            (None, None) => json!({ "status": "unknown" }),
        })
    }

    pub(super) async fn get_transaction_by_number_and_index(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (tag, index): (BlockNumberOrTag, u64) = read(&params)?;
        self.transaction_at(self.slot_of_tag(tag).await?, index).await
    }

    pub(super) async fn get_transaction_by_hash_and_index(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (hash, index): (B256, u64) = read(&params)?;
        self.transaction_at(self.chain.slot_of_hash(hash).await?, index).await
    }

    async fn transaction_at(&self, slot: Option<Slot>, index: u64) -> Answer<Option<Value>> {
        let Some(slot) = slot else { return Ok(None) };
        // An index beyond what fits is beyond what a block has.
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let transaction = |view: BlockView<'_>| view.entries().nth(index).map(|entry| entry.transaction()).transpose();
        self.viewed(slot, transaction).await
    }
}
