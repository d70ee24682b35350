//! Every method by its name; the rooms beside this file take parameters in and answer out. What is not here is answered -32601,
//! as wallets expect.

mod about;
mod blocks;
mod events;
mod filling;
mod pool;
mod raw;
mod refused;
mod state;
mod transactions;

use super::arguments::read;
use super::chain::Chain;
use super::node::Node;
use super::subscriptions::subscribe;
use super::view::{blob_price, hex};
use super::{cheats, otterscan, simulate, simulate_v1, trace};
use crate::server::{Client, Seat};
use alloy_primitives::{Address, Bytes, U256, keccak256};
use http::Extensions;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use primitives::Slot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Registers async methods, each by its name and the function of [`Node`] that serves it: on the threads that serve, or beside
/// them where the answer may be large.
macro_rules! serve {
    ($module:ident: $($name:literal => $function:ident,)*) => {
        $(if $crate::jsonrpc::heavy::Heavy::is($name) {
            $module.register_async_method($name, |params, node, _| async move {
                let heavy = node.heavy.clone();
                heavy.aside(async move { node.$function(params).await }).await
            })?;
        } else {
            $module.register_async_method($name, |params, node, _| async move { node.$function(params).await })?;
        })*
    };
}
pub(super) use serve;

/// Registers async methods that tell one client from another.
macro_rules! of_client {
    ($module:ident: $($name:literal => $function:ident,)*) => {
        $($module.register_async_method($name, |params, node, extensions| async move {
            node.$function(params, client(&extensions)).await
        })?;)*
    };
}

/// All methods over `node`.
pub(super) fn module<C: Chain>(node: Node<C>) -> Result<RpcModule<Node<C>>, RegisterMethodError> {
    let has_cheats = node.chain.params().environments.has_cheats();
    let mut module = RpcModule::new(node);
    constants(&mut module)?;
    if has_cheats {
        cheats::register(&mut module)?;
    }
    refused::register(&mut module)?;
    of_pool(&mut module)?;
    serve! { module:
        "eth_blockNumber" => block_number,
        "eth_capabilities" => get_capabilities,
        "eth_getBalance" => get_balance,
        "eth_getTransactionCount" => get_transaction_count,
        "eth_getCode" => get_code,
        "eth_getStorageAt" => get_storage_at,
        "eth_getStorageValues" => get_storage_values,
        "eth_feeHistory" => get_fee_history,
        "eth_sendRawTransaction" => send_raw_transaction,
        "eth_sendRawTransactionSync" => send_raw_transaction_and_wait,
        "eth_fillTransaction" => fill_transaction,
        "eth_getTransactionByHash" => get_transaction_by_hash,
        "eth_getTransactionReceipt" => get_transaction_receipt,
        "dovetail_transactionStatus" => transaction_status,
        "eth_getTransactionByBlockNumberAndIndex" => get_transaction_by_number_and_index,
        "eth_getTransactionByBlockHashAndIndex" => get_transaction_by_hash_and_index,
        "eth_getBlockByNumber" => get_block_by_number,
        "eth_getBlockByHash" => get_block_by_hash,
        "eth_getHeaderByNumber" => get_header_by_number,
        "eth_getHeaderByHash" => get_header_by_hash,
        "eth_getBlockTransactionCountByNumber" => get_transaction_count_by_number,
        "eth_getBlockTransactionCountByHash" => get_transaction_count_by_hash,
        "eth_getBlockReceipts" => get_block_receipts,
        "eth_getUncleCountByBlockNumber" => get_uncle_count_by_number,
        "eth_getUncleCountByBlockHash" => get_uncle_count_by_hash,
        "debug_getRawTransaction" => get_raw_transaction,
        "debug_getRawReceipts" => get_raw_receipts,
        "eth_getLogs" => get_logs,
        "eth_getFilterChanges" => get_filter_changes,
        "eth_getFilterLogs" => get_filter_logs,
    }
    simulate::register(&mut module)?;
    simulate_v1::register(&mut module)?;
    trace::register(&mut module)?;
    otterscan::register(&mut module)?;
    of_client! { module:
        "eth_newFilter" => new_filter,
        "eth_newBlockFilter" => new_block_filter,
    }
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, sink, node, extensions| subscribe(node, params, sink, extensions.get::<Arc<Seat>>().cloned()),
    )?;
    let kinds = kinds(module.method_names());
    module.register_method("rpc_modules", move |params, _, _| read::<()>(&params).map(|()| kinds.clone()))?;
    Ok(module)
}

/// The kinds of methods, which their names begin with, each with its version.
fn kinds(names: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, &'static str> {
    names.filter_map(|name| Some((name.split_once('_')?.0, "1.0"))).chain([("rpc", "1.0")]).collect()
}

/// Registers methods that take nothing and answer at once, each with what it makes of the node.
macro_rules! plain {
    ($module:ident: $($name:literal => $answer:expr,)*) => {
        $($module.register_method($name, |params, node, _| read::<()>(&params).map(|()| $answer(node)))?;)*
    };
}

fn client_version<C: Chain>(node: &Node<C>) -> &'static str {
    let has_cheats = node.chain.params().environments.has_cheats();
    if has_cheats { cheats::CLIENT_VERSION } else { concat!("dovetail/v", env!("CARGO_PKG_VERSION")) }
}

fn client(extensions: &Extensions) -> Client {
    extensions.get().copied().unwrap_or(Client::LOCAL)
}

/// Methods of what this node has taken in, which it knows without the chain.
fn of_pool<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    module.register_method("eth_pendingTransactions", |params, node, _| node.pending_transactions(&params))?;
    module.register_method("txpool_status", |params, node, _| node.pool_status(&params))?;
    module.register_method("txpool_content", |params, node, _| node.pool_content(&params))?;
    module.register_method("txpool_contentFrom", |params, node, _| node.pool_content_from(&params))?;
    module.register_method("txpool_inspect", |params, node, _| node.pool_inspect(&params))?;
    module.register_method("eth_newPendingTransactionFilter", |params, node, extensions| {
        node.new_pending_filter(&params, client(extensions))
    })?;
    Ok(())
}

/// Methods that need not wait for the chain.
fn constants<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    plain! { module:
        "eth_chainId" => |node: &Node<C>| hex(node.chain.params().network.0),
        "net_version" => |node: &Node<C>| node.chain.params().network.to_string(),
        "net_listening" => |_: &Node<C>| true,
        "net_peerCount" => |_: &Node<C>| "0x0",
        "web3_clientVersion" => client_version,
        "eth_syncing" => |_: &Node<C>| false,
        "eth_accounts" => |node: &Node<C>| node.chain.accounts(),
        "eth_coinbase" => |node: &Node<C>| node.chain.params().beneficiary,
        "eth_baseFee" => |node: &Node<C>| format!("{:#x}", node.base_fee()),
        "debug_getBadBlocks" => |_: &Node<C>| Vec::<Address>::new(),
        "eth_gasPrice" => |node: &Node<C>| format!("{:#x}", node.gas_price()),
        "eth_blobBaseFee" => |node: &Node<C>| format!("{:#x}", blob_price(node.chain.params(), Slot(0)).unwrap_or_default()),
        "eth_maxPriorityFeePerGas" => |node: &Node<C>| format!("{:#x}", node.chain.priority_fee()),
    }
    module.register_method("web3_sha3", |params, _, _| read::<(Bytes,)>(&params).map(|(data,)| keccak256(data)))?;
    module.register_method("eth_uninstallFilter", |params, node, _| {
        read::<(U256,)>(&params).map(|(id,)| node.filters.uninstall(id))
    })?;
    module
        .register_method("eth_getUncleByBlockNumberAndIndex", |params, _, _| Node::<C>::get_uncle_by_number(&params))?;
    module.register_method("eth_getUncleByBlockHashAndIndex", |params, _, _| Node::<C>::get_uncle_by_hash(&params))?;
    module.register_method("eth_config", |params, node, _| node.config(&params))?;
    Ok(())
}
