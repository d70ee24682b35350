//! Every method by its name; the rooms beside this file take parameters in and answer out. What is not here is answered -32601,
//! as wallets expect.

mod blocks;
mod events;
mod state;
mod transactions;

use super::chain::Chain;
use super::node::Node;
use super::subscriptions::subscribe;
use super::view::{blob_price, hex};
use super::{simulate, simulate_v1, trace};
use crate::server::Seat;
use alloy_primitives::{Address, Bytes, keccak256};
use alloy_rpc_types_eth::FilterId;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::ErrorObjectOwned;
use primitives::Slot;
use std::sync::Arc;

/// What a method answers.
type Answer<T> = Result<T, ErrorObjectOwned>;

/// Registers async methods, each by its name and the function of [`Node`] that serves it.
macro_rules! methods {
    ($module:ident: $($name:literal => $function:ident,)*) => {
        $($module.register_async_method($name, |params, node, _| async move { node.$function(params).await })?;)*
    };
}

/// All methods over `node`.
pub(super) fn module<C: Chain>(node: Node<C>) -> Result<RpcModule<Node<C>>, RegisterMethodError> {
    let mut module = RpcModule::new(node);
    constants(&mut module)?;
    methods! { module:
        "eth_blockNumber" => block_number,
        "eth_getBalance" => get_balance,
        "eth_getTransactionCount" => get_transaction_count,
        "eth_getCode" => get_code,
        "eth_getStorageAt" => get_storage_at,
        "eth_getProof" => get_proof,
        "eth_feeHistory" => get_fee_history,
        "eth_sendRawTransaction" => send_raw_transaction,
        "eth_getTransactionByHash" => get_transaction_by_hash,
        "eth_getTransactionReceipt" => get_transaction_receipt,
        "dovetail_transactionStatus" => transaction_status,
        "eth_getTransactionByBlockNumberAndIndex" => get_transaction_by_index,
        "eth_getTransactionByBlockHashAndIndex" => get_transaction_by_index,
        "eth_getBlockByNumber" => get_block_by_number,
        "eth_getBlockByHash" => get_block_by_hash,
        "eth_getBlockTransactionCountByNumber" => get_block_transaction_count,
        "eth_getBlockTransactionCountByHash" => get_block_transaction_count,
        "eth_getBlockReceipts" => get_block_receipts,
        "eth_getLogs" => get_logs,
        "eth_newFilter" => new_filter,
        "eth_newBlockFilter" => new_block_filter,
        "eth_getFilterChanges" => get_filter_changes,
        "eth_getFilterLogs" => get_filter_logs,
    }
    simulate::register(&mut module)?;
    simulate_v1::register(&mut module)?;
    trace::register(&mut module)?;
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, sink, node, extensions| subscribe(node, params, sink, extensions.get::<Arc<Seat>>().cloned()),
    )?;
    Ok(module)
}

/// Methods that need not wait for the chain.
fn constants<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    module.register_method("eth_chainId", |_, node, _| hex(node.chain.params().network.0))?;
    module.register_method("net_version", |_, node, _| node.chain.params().network.to_string())?;
    module.register_method("net_listening", |_, _, _| true)?;
    module.register_method("web3_clientVersion", |_, _, _| concat!("dovetail/v", env!("CARGO_PKG_VERSION")))?;
    module.register_method("web3_sha3", |params, _, _| params.one::<Bytes>().map(keccak256))?;
    module.register_method("eth_uninstallFilter", |params, node, _| {
        params.sequence().next::<FilterId>().map(|id| node.filters.uninstall(&id))
    })?;
    module.register_method("eth_syncing", |_, _, _| false)?;
    module.register_method("eth_accounts", |_, _, _| Vec::<Address>::new())?;
    module.register_method("eth_gasPrice", |_, node, _| format!("{:#x}", node.gas_price()))?;
    module.register_method("eth_blobBaseFee", |_, node, _| {
        format!("{:#x}", blob_price(node.chain.params(), Slot(0)).unwrap_or_default())
    })?;
    module.register_method("eth_maxPriorityFeePerGas", |_, node, _| format!("{:#x}", node.chain.priority_fee()))?;
    Ok(())
}
