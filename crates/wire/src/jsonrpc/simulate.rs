//! Runs that change nothing: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.
//!
//! Source: execution-apis; geth for what it does not say: order of checks, words, state and block overrides.

use super::arguments::read;
use super::call::{call_of, overrides_of};
use super::chain::{Chain, Moment, running};
use super::error::{Answer, SERVER_ERROR_CODE, error, failed, output};
use super::methods::serve;
use super::node::Node;
use super::view::hex;
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, BlockOverrides, TransactionRequest};
use evm::{Answered, CallRequest, Estimate, Listed};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::sync::Arc;

/// Adds these methods.
pub(super) fn register<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    serve! { module:
        "eth_call" => call,
        "eth_estimateGas" => estimate_gas,
        "eth_createAccessList" => create_access_list,
    }
    Ok(())
}

impl<C: Chain> Node<C> {
    async fn call(&self, params: Params<'static>) -> Answer<Bytes> {
        let (call, _, moment) = self.call_request(&params).await?;
        let call = Arc::new(call);
        let brief = Arc::clone(&call);
        let brief = running(move |ground, view| evm::answer_briefly(ground, &brief, view));
        let run = running(move |ground, view| evm::answer(ground, &call, view));
        let answered: Answered = self.chain.over_soon(moment, brief, run).await?;
        output(answered)
    }

    async fn estimate_gas(&self, params: Params<'static>) -> Answer<String> {
        let (call, id, moment) = self.call_request(&params).await?;
        let call = if is_named(id) { call } else { self.to_come(call).await? };
        Ok(hex(self.gas_of(call, moment).await?))
    }

    /// A call in the block that a transaction of now would be in: on the state after the latest block it would else see that
    /// block's own number and time, which no transaction to come does.
    async fn to_come(&self, mut call: CallRequest) -> Answer<CallRequest> {
        let params = self.chain.params();
        if params.environments.has_slots() {
            let slot = self.chain.coming().await?;
            call.overrides.block.number.get_or_insert(slot.0);
            call.overrides.block.timestamp.get_or_insert(self.chain.coming_time(slot));
        }
        Ok(call)
    }

    /// The least gas limit, within a hundredth, that `call` succeeds with.
    pub(super) async fn gas_of(&self, call: CallRequest, moment: Moment) -> Answer<u64> {
        let most = self.chain.params().transaction_gas_max();
        let run = running(move |ground, view| evm::estimate(ground, &call, most, view));
        match self.chain.over(moment, run).await? {
            Estimate::Enough(gas) => Ok(gas),
            Estimate::Fails(answered) => Err(failed(&answered)),
            Estimate::Exceeds { allowance } => {
                Err(error(SERVER_ERROR_CODE, format!("gas required exceeds allowance ({allowance})")))
            }
        }
    }

    async fn create_access_list(&self, params: Params<'static>) -> Answer<Value> {
        let (call, _, moment) = self.call_request(&params).await?;
        let run = running(move |ground, view| evm::access_list(ground, &call, view));
        let Listed { access_list, gas_used, error } = self.chain.over(moment, run).await?;
        let mut answer = json!({ "accessList": access_list, "gasUsed": hex(gas_used) });
        if let Some(error) = error {
            answer["error"] = error.into();
        }
        Ok(answer)
    }

    /// A call with what it wants otherwise, the block that it names, and the moment of the state that it runs on.
    async fn call_request(&self, params: &Params<'static>) -> Answer<(CallRequest, Option<BlockId>, Moment)> {
        let (request, id, state, block): (TransactionRequest, _, Option<StateOverride>, Option<BlockOverrides>) =
            read(params)?;
        let call = call_of(request, self.chain.params().network)?;
        let overrides = overrides_of(self.chain.params(), state, block)?;
        Ok((CallRequest { overrides, ..call }, id, self.moment_of(id).await?))
    }
}

/// Whether a block is named by its number or hash, or as the first.
fn is_named(id: Option<BlockId>) -> bool {
    match id {
        None => false,
        Some(BlockId::Hash(_)) => true,
        Some(BlockId::Number(tag)) => matches!(tag, BlockNumberOrTag::Number(_) | BlockNumberOrTag::Earliest),
    }
}
