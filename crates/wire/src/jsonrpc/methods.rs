//! Every method by its name: parameters in, answer out. What is not here is answered -32601, as wallets expect.

use super::chain::{Chain, Found};
use super::error::{invalid_params, output};
use super::filters::{Changes, Kind};
use super::logs;
use super::node::Node;
use super::subscriptions::subscribe;
use super::view::{BlockView, Detail, blob_price, hex, pending};
use crate::rejection::Rejection;
use crate::server::Seat;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::{
    BlockId, BlockNumberOrTag, EIP1186AccountProofResponse, EIP1186StorageProof, FeeHistory, Filter, FilterId, Index,
    Log, TransactionRequest,
};
use evm::{CallRequest, Data};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Slot;
use serde_json::{Value, json};
use std::sync::Arc;

/// The most slots that one `eth_getProof` reads.
const PROOF_SLOTS_COUNT_MAX: usize = 1_024;

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
        "eth_call" => call,
        "eth_estimateGas" => estimate_gas,
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

impl<C: Chain> Node<C> {
    async fn block_number(&self, _: Params<'static>) -> Answer<String> {
        Ok(hex(self.chain.head().await?.0))
    }

    async fn get_balance(&self, params: Params<'static>) -> Answer<U256> {
        let (address, id): (Address, _) = with_block(&params)?;
        self.latest_state(id).await?;
        Ok(self.chain.account(address).await?.balance)
    }

    async fn get_transaction_count(&self, params: Params<'static>) -> Answer<String> {
        let (address, id): (Address, _) = with_block(&params)?;
        if id == Some(BlockId::Number(BlockNumberOrTag::Pending)) {
            return Ok(hex(self.chain.next_nonce(address).await?));
        }
        self.latest_state(id).await?;
        Ok(hex(self.chain.account(address).await?.nonce))
    }

    async fn get_code(&self, params: Params<'static>) -> Answer<Bytes> {
        let (address, id): (Address, _) = with_block(&params)?;
        self.latest_state(id).await?;
        Ok(self.chain.account(address).await?.code.into())
    }

    async fn get_storage_at(&self, params: Params<'static>) -> Answer<B256> {
        let (address, slot, id) = {
            let mut params = params.sequence();
            (params.next::<Address>()?, params.next::<U256>()?, params.optional_next::<BlockId>()?)
        };
        self.latest_state(id).await?;
        Ok(self.chain.storage(address, slot).await?.into())
    }

    /// The values without the proof: each shard commits to its state by a tree of its own, not by Ethereum's trie, and
    /// `ShardService.ProveState` proves against that. Who checks this answer finds no proof in it, and no root to check by.
    async fn get_proof(&self, params: Params<'static>) -> Answer<EIP1186AccountProofResponse> {
        let (address, keys, id) = {
            let mut params = params.sequence();
            (params.next::<Address>()?, params.next::<Vec<_>>()?, params.optional_next::<BlockId>()?)
        };
        let slot = |key| EIP1186StorageProof { key, ..EIP1186StorageProof::default() };
        let mut storage_proof: Vec<EIP1186StorageProof> = keys.into_iter().map(slot).collect();
        if storage_proof.len() > PROOF_SLOTS_COUNT_MAX {
            return Err(invalid_params(format!("at most {PROOF_SLOTS_COUNT_MAX} slots at once")));
        }
        self.latest_state(id).await?;
        let account = self.chain.account(address).await?;
        for slot in &mut storage_proof {
            slot.value = self.chain.storage(address, slot.key.as_b256().into()).await?;
        }
        Ok(EIP1186AccountProofResponse {
            address,
            balance: account.balance,
            nonce: account.nonce,
            code_hash: keccak256(&*account.code),
            account_proof: Vec::new(),
            storage_hash: B256::ZERO,
            storage_proof,
        })
    }

    async fn call(&self, params: Params<'static>) -> Answer<Bytes> {
        let (call, slot) = self.call_request(&params).await?;
        output(self.chain.call(call, slot).await?)
    }

    async fn estimate_gas(&self, params: Params<'static>) -> Answer<String> {
        let (call, slot) = self.call_request(&params).await?;
        Ok(hex(self.chain.estimate(call, slot).await?))
    }

    /// A call on the latest state, and the slot that it sees as its block.
    async fn call_request(&self, params: &Params<'static>) -> Answer<(CallRequest, Slot)> {
        let (request, id, overrides) = {
            let mut params = params.sequence();
            let request: TransactionRequest = params.next()?;
            (request, params.optional_next::<BlockId>()?, params.optional_next::<Value>()?)
        };
        if overrides.is_some_and(|overrides| overrides.as_object().is_none_or(|fields| !fields.is_empty())) {
            return Err(invalid_params("state overrides are not supported"));
        }
        Ok((call_of(request), self.state_slot(id).await?))
    }

    async fn get_fee_history(&self, params: Params<'static>) -> Answer<FeeHistory> {
        let (count, newest, percentiles) = {
            let mut params = params.sequence();
            let count = quantity(&params.next()?)?;
            (count, params.next::<BlockNumberOrTag>()?, params.optional_next::<Vec<f64>>()?)
        };
        self.fee_history(count, newest, percentiles).await
    }

    async fn send_raw_transaction(&self, params: Params<'static>) -> Answer<B256> {
        let transaction: Bytes = params.sequence().next()?;
        Ok(self.chain.send_raw(Data(transaction)).await?)
    }

    async fn get_transaction_by_hash(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let hash: B256 = params.sequence().next()?;
        match self.chain.transaction(hash).await? {
            None => Ok(None),
            Some(Found::Pending { bytes, sender }) => pending(&bytes, sender).map(Some),
            Some(Found::Placed { slot, index }) => self.viewed(slot, |view| view.transaction(index)).await.map(Some),
        }
    }

    async fn get_transaction_receipt(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let hash: B256 = params.sequence().next()?;
        match self.chain.transaction(hash).await? {
            None | Some(Found::Pending { .. }) => Ok(None),
            Some(Found::Placed { slot, index }) => self.viewed(slot, |view| view.receipt(index)).await.map(Some),
        }
    }

    /// What became of a transaction whose hash was given, receipt or not.
    async fn transaction_status(&self, params: Params<'static>) -> Answer<Value> {
        let hash: B256 = params.sequence().next()?;
        let (found, refusal) = (self.chain.transaction(hash).await?, self.chain.refusal(hash).await?);
        Ok(match (found, refusal) {
            (Some(Found::Placed { slot, .. }), _) => json!({ "status": "committed", "blockNumber": hex(slot.0) }),
            (Some(Found::Pending { .. }), _) => json!({ "status": "pending" }),
            (None, Some(ended)) => {
                json!({ "status": "refused", "reason": ended.reason, "timestampMs": hex(ended.time.0) })
            }
            (None, None) => json!({ "status": "unknown" }),
        })
    }

    async fn get_transaction_by_index(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (id, index) = {
            let mut params = params.sequence();
            (params.next::<BlockId>()?, params.next::<Index>()?)
        };
        let Some(slot) = self.slot_of(id).await? else { return Ok(None) };
        let transaction = |view: BlockView<'_>| match view.block.outcomes.get(index.0) {
            Some(_) => view.transaction(index.0).map(Some),
            None => Ok(None),
        };
        self.viewed(slot, transaction).await
    }

    async fn get_block_by_number(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (tag, full) = {
            let mut params = params.sequence();
            (params.next::<BlockNumberOrTag>()?, params.optional_next::<bool>()?)
        };
        self.rpc_block(self.slot_of_tag(tag).await?, full).await
    }

    async fn get_block_by_hash(&self, params: Params<'static>) -> Answer<Option<Value>> {
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

    async fn get_block_transaction_count(&self, params: Params<'static>) -> Answer<Option<String>> {
        let id: BlockId = params.sequence().next()?;
        let Some(slot) = self.slot_of(id).await? else { return Ok(None) };
        self.viewed(slot, |view| Ok(hex(view.block.outcomes.len() as u64))).await.map(Some)
    }

    async fn get_block_receipts(&self, params: Params<'static>) -> Answer<Option<Vec<Value>>> {
        let id: BlockId = params.sequence().next()?;
        let Some(slot) = self.slot_of(id).await? else { return Ok(None) };
        let receipts = |view: BlockView<'_>| (0..view.block.outcomes.len()).map(|index| view.receipt(index)).collect();
        self.viewed(slot, receipts).await.map(Some)
    }

    async fn get_logs(&self, params: Params<'static>) -> Answer<Vec<Log>> {
        let filter: Filter = params.sequence().next()?;
        self.logs(&filter).await
    }

    async fn new_filter(&self, params: Params<'static>) -> Answer<FilterId> {
        let filter: Filter = params.sequence().next()?;
        logs::check(&filter)?;
        let head = self.chain.head().await?;
        self.filters.install(Kind::Logs(Box::new(filter)), Slot(head.0 + 1))
    }

    async fn new_block_filter(&self, _: Params<'static>) -> Answer<FilterId> {
        let head = self.chain.head().await?;
        self.filters.install(Kind::Blocks, Slot(head.0 + 1))
    }

    async fn get_filter_changes(&self, params: Params<'static>) -> Answer<Changes> {
        let id: FilterId = params.sequence().next()?;
        self.filter_changes(&id).await
    }

    async fn get_filter_logs(&self, params: Params<'static>) -> Answer<Vec<Log>> {
        let id: FilterId = params.sequence().next()?;
        self.filter_logs(&id).await
    }

    /// What `see` says of the block of a closed slot.
    async fn viewed<T>(&self, slot: Slot, see: impl FnOnce(BlockView<'_>) -> Answer<T>) -> Answer<T> {
        let block = self.chain.block(slot).await.map_err(|rejection: Rejection| ErrorObjectOwned::from(rejection))?;
        see(BlockView { params: self.chain.params(), block: &block })
    }
}

/// One parameter and the block it is asked of, the latest if none is named.
fn with_block<T: serde::de::DeserializeOwned>(params: &Params<'static>) -> Answer<(T, Option<BlockId>)> {
    let mut params = params.sequence();
    Ok((params.next()?, params.optional_next()?))
}

/// A number in hex, or as a JSON number, which some clients send.
fn quantity(value: &Value) -> Answer<u64> {
    let text = value.as_str().and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    text.or_else(|| value.as_u64()).ok_or_else(|| invalid_params(format!("{value} is no quantity")))
}

/// A call as the chain takes it.
fn call_of(request: TransactionRequest) -> CallRequest {
    CallRequest {
        from: request.from.unwrap_or_default(),
        to: request.to.and_then(|kind| kind.to().copied()),
        value: request.value.unwrap_or_default(),
        input: Data(request.input.into_input().unwrap_or_default()),
        gas_limit: request.gas,
        access_list: request.access_list.unwrap_or_default(),
        authorizations: request.authorization_list.unwrap_or_default(),
    }
}
