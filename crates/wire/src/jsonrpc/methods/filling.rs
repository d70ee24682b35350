//! `eth_fillTransaction`: the fields that a wallet left out of a transaction, so that only the signature is missing.

use crate::jsonrpc::arguments::read;
use crate::jsonrpc::call::call_of;
use crate::jsonrpc::chain::{Chain, Moment};
use crate::jsonrpc::error::{Answer, SERVER_ERROR_CODE, error};
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::{to_value, unsigned_bytes};
use alloy_consensus::Transaction;
use alloy_primitives::{Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use jsonrpsee::types::Params;
use serde_json::{Value, json};

impl<C: Chain> Node<C> {
    pub(super) async fn fill_transaction(&self, params: Params<'static>) -> Answer<Value> {
        let (request,): (TransactionRequest,) = read(&params)?;
        filled(self.complete(request).await?)
    }

    /// `request` with all that it leaves out.
    pub(in crate::jsonrpc) async fn complete(&self, mut request: TransactionRequest) -> Answer<TransactionRequest> {
        let network = self.chain.params().network;
        // What contradicts itself is refused before anything is looked up for it.
        call_of(request.clone(), network)?;
        request.chain_id = Some(network.0);
        request.value.get_or_insert_default();
        request.normalize_input();
        request.input.input.get_or_insert_default();
        request.to.get_or_insert(TxKind::Create);
        self.fill_fees(&mut request);
        if request.nonce.is_none() {
            request.nonce = Some(self.chain.next_nonce(request.from.unwrap_or_default()).await?);
        }
        if request.gas.is_none() {
            let call = call_of(request.clone(), network)?;
            request.gas = Some(self.gas_of(call, Moment::Newest).await?);
        }
        Ok(request)
    }

    /// Fees of the kind that the request has begun with; of EIP-1559 where it says nothing, twice the base fee at most.
    fn fill_fees(&self, request: &mut TransactionRequest) {
        if request.gas_price.is_some() {
            return;
        }
        let priority = *request.max_priority_fee_per_gas.get_or_insert_with(|| self.chain.priority_fee());
        request.max_fee_per_gas.get_or_insert_with(|| self.base_fee().saturating_mul(2).saturating_add(priority));
        if request.blob_versioned_hashes.is_some() {
            request.max_fee_per_blob_gas.get_or_insert(1);
        }
    }
}

/// The transaction without its signature, as fields and as bytes with a signature of zeros, as geth gives it.
fn filled(request: TransactionRequest) -> Answer<Value> {
    let incomplete = |error_: String| error(SERVER_ERROR_CODE, format!("transaction cannot be filled: {error_}"));
    let transaction = request.build_consensus_tx().map_err(|error| incomplete(error.error))?;
    let raw = unsigned_bytes(transaction.clone());
    let mut fields = to_value(&transaction)?;
    fields["gasPrice"] = format!("{:#x}", transaction.max_fee_per_gas()).into();
    Ok(json!({ "raw": Bytes::from(raw), "tx": fields }))
}
