//! What happened inside: geth's `debug_trace*` and Parity's `trace_*`.
//!
//! ```text
//! transaction's hash -> what ran at its slot, up to it -> run again over the state after the slot before
//! ```
//!
//! A transaction that a later block shows is run again at its own slot, after what that slot's block shows: it held its keys from
//! then on, so nothing that it depends on ran after it. What comes to another receipt is not told. What a transaction of the
//! protocol itself called, a delivery's say, is asked of its shard.
//! Source: geth, "debug namespace"; `OpenEthereum`, "JSONRPC trace module"; Erigon for `trace_filter`.

use super::arguments::{Json, TraceQuery, read};
use super::call::{call_of, overrides_of};
use super::chain::{Chain, Found, Moment, SlotBlock, running};
use super::error::{Answer, SERVER_ERROR_CODE, error, invalid_params};
use super::methods::serve;
use super::node::Node;
use crate::rejection::{Reason, Rejection};
use crate::state::OutcomeRecord;
use alloy_primitives::B256;
use alloy_primitives::map::HashSet;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, TransactionRequest};
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType, GethDebugTracerType, GethDebugTracingCallOptions, GethDebugTracingOptions,
};
use alloy_rpc_types_trace::parity::TraceResultsWithTransactionHash;
use evm::trace::{
    Committed, LocalizedTransactionTrace, Trace, TraceResults, TraceType, Tracer, Wanted, trace_block, trace_call,
};
use evm::{CallRequest, Environments, RecoveredTransaction, Step};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::error::INTERNAL_ERROR_CODE;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Slot;
use serde_json::{Value, json};
use std::sync::Arc;

/// The most blocks with transactions that one `trace_filter` runs again.
pub(super) const TRACE_FILTER_BLOCKS_COUNT_MAX: usize = 100;

/// How many shards' answers about the protocol's own transactions are waited for at once.
const OWN_CALLS_AT_ONCE_COUNT: usize = 16;

/// Adds these methods.
pub(super) fn register<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    serve! { module:
        "debug_traceCall" => debug_trace_call,
        "debug_traceTransaction" => debug_trace_transaction,
        "debug_traceBlockByNumber" => debug_trace_block,
        "debug_traceBlockByHash" => debug_trace_block,
        "trace_call" => trace_call,
        "trace_transaction" => trace_transaction,
        "trace_get" => trace_get,
        "trace_block" => trace_block,
        "trace_filter" => trace_filter,
        "trace_replayTransaction" => trace_replay_transaction,
        "trace_replayBlockTransactions" => trace_replay_block,
    }
    Ok(())
}

/// geth's tracer of these options. Those under its muxTracer have settings or none, as they like; the library wants none for those
/// that know no settings, and some for the others.
fn tracer_of(mut options: GethDebugTracingOptions) -> Tracer {
    let is_mux = options.tracer == Some(GethDebugTracerType::BuiltInTracer(GethDebugBuiltInTracerType::MuxTracer));
    for (name, settings) in options.tracer_config.0.as_object_mut().filter(|_| is_mux).into_iter().flatten() {
        match name.as_str() {
            "4byteTracer" | "noopTracer" => *settings = Value::Null,
            _ if settings.is_null() => *settings = json!({}),
            _ => {}
        }
    }
    Tracer::Geth(Box::new(options))
}

/// What ran at one slot, to be run again.
struct Past {
    slot: Slot,
    transactions: Vec<Committed>,
    wanted: Wanted,
}

impl<C: Chain> Node<C> {
    async fn debug_trace_call(&self, params: Params<'static>) -> Answer<Value> {
        let (request, id, options): (TransactionRequest, _, Option<GethDebugTracingCallOptions>) = read(&params)?;
        let options = options.unwrap_or_default();
        if options.tx_index.is_some() {
            return Err(invalid_params("txIndex is not supported"));
        }
        let overrides = overrides_of(self.chain.params(), options.state_overrides, options.block_overrides)?;
        let call = CallRequest { overrides, ..call_of(request, self.chain.params().network)? };
        self.traced_call(call, id, tracer_of(options.tracing_options)).await
    }

    async fn trace_call(&self, params: Params<'static>) -> Answer<Value> {
        let (request, Json(types), id): (TransactionRequest, Json<HashSet<TraceType>>, _) = read(&params)?;
        let call = call_of(request, self.chain.params().network)?;
        self.traced_call(call, id, Tracer::Parity(types)).await
    }

    async fn traced_call(&self, call: CallRequest, id: Option<BlockId>, tracer: Tracer) -> Answer<Value> {
        let moment = self.moment_of(id).await?;
        let run = running(move |ground, view| trace_call(ground, &call, &tracer, view));
        let (_, trace) = self.chain.over(moment, run).await?;
        match trace {
            Trace::Geth(trace) => value(&trace),
            Trace::Parity(results) => value(&results),
            Trace::Flat(calls) => value(&calls),
        }
    }

    async fn debug_trace_transaction(&self, params: Params<'static>) -> Answer<Value> {
        let (hash, Json(options)): (B256, Json<Option<GethDebugTracingOptions>>) = read(&params)?;
        let options = options.unwrap_or_default();
        let Some((slot, index)) = self.placed(hash).await? else {
            return Err(error(SERVER_ERROR_CODE, "transaction not found"));
        };
        let mut traces = self.traces(slot, Wanted::One(index), tracer_of(options)).await?;
        traces.pop().map_or_else(|| Err(lost(hash)), |(_, trace)| geth(&trace))
    }

    async fn debug_trace_block(&self, params: Params<'static>) -> Answer<Vec<Value>> {
        let (id, Json(options)): (BlockId, Json<Option<GethDebugTracingOptions>>) = read(&params)?;
        let options = options.unwrap_or_default();
        let slot = self.existing(id).await?;
        let hashes = self.hashes(slot).await?;
        if slot == self.chain.earliest() && hashes.is_empty() {
            // There is no state before it. geth's words.
            return Err(error(SERVER_ERROR_CODE, "genesis is not traceable"));
        }
        let traces = self.traces(slot, Wanted::All, tracer_of(options)).await?;
        let told = traces.iter().map(|(place, trace)| Ok(json!({ "txHash": hashes[*place], "result": geth(trace)? })));
        told.collect()
    }

    async fn trace_transaction(&self, params: Params<'static>) -> Answer<Option<Vec<LocalizedTransactionTrace>>> {
        let (hash,): (B256,) = read(&params)?;
        let Some((slot, index)) = self.placed(hash).await? else { return Ok(None) };
        self.flat(slot, Wanted::One(index)).await.map(Some)
    }

    /// One trace of a transaction, by its address within it.
    async fn trace_get(&self, params: Params<'static>) -> Answer<Option<LocalizedTransactionTrace>> {
        let (hash, indices): (B256, Vec<u64>) = read(&params)?;
        let Some((slot, index)) = self.placed(hash).await? else { return Ok(None) };
        let address: Vec<usize> =
            indices.into_iter().map(|index| usize::try_from(index).unwrap_or(usize::MAX)).collect();
        let traces = self.flat(slot, Wanted::One(index)).await?;
        Ok(traces.into_iter().find(|trace| trace.trace.trace_address == address))
    }

    async fn trace_block(&self, params: Params<'static>) -> Answer<Option<Vec<LocalizedTransactionTrace>>> {
        let (id,): (BlockId,) = read(&params)?;
        let Some(slot) = self.slot_of(id).await? else { return Ok(None) };
        self.flat(slot, Wanted::All).await.map(Some)
    }

    /// Traces of many blocks by who called and who was called, as Erigon and Blockscout have it.
    async fn trace_filter(&self, params: Params<'static>) -> Answer<Vec<LocalizedTransactionTrace>> {
        let (TraceQuery { from, to, after, count, filter },) = read(&params)?;
        let head = self.chain.head().await?;
        let from = self.edge(from.unwrap_or(BlockNumberOrTag::Earliest)).await?;
        let to = self.edge(to.unwrap_or(BlockNumberOrTag::Latest)).await?;
        if to > head || from > to {
            return Err(invalid_params(format!("blocks {from} to {to} are no range up to the head, which is {head}")));
        }
        let occupied = self.chain.occupied(from, to, TRACE_FILTER_BLOCKS_COUNT_MAX + 1).await?;
        if let Some(next) = occupied.get(TRACE_FILTER_BLOCKS_COUNT_MAX) {
            let text = format!(
                "more than {TRACE_FILTER_BLOCKS_COUNT_MAX} blocks with transactions: ask for {from} to {} first",
                next.0 - 1
            );
            return Err(Rejection::new(Reason::RangeTooWide, text).into());
        }
        let (matcher, mut found) = (filter.matcher(), Vec::new());
        for slot in occupied {
            let traces = self.flat(slot, Wanted::All).await?;
            found.extend(traces.into_iter().filter(|trace| matcher.matches(&trace.trace)));
            if found.len() >= after.saturating_add(count) {
                break;
            }
        }
        Ok(found.into_iter().skip(after).take(count).collect())
    }

    async fn trace_replay_transaction(&self, params: Params<'static>) -> Answer<TraceResults> {
        let (hash, Json(types)): (B256, Json<HashSet<TraceType>>) = read(&params)?;
        let Some((slot, index)) = self.placed(hash).await? else {
            return Err(error(SERVER_ERROR_CODE, "transaction not found"));
        };
        match self.traces(slot, Wanted::One(index), Tracer::Parity(types)).await?.pop() {
            Some((_, Trace::Parity(results))) => Ok(*results),
            _ => Err(lost(hash)),
        }
    }

    async fn trace_replay_block(&self, params: Params<'static>) -> Answer<Vec<TraceResultsWithTransactionHash>> {
        let (id, Json(types)): (BlockId, Json<HashSet<TraceType>>) = read(&params)?;
        let slot = self.existing(id).await?;
        let hashes = self.hashes(slot).await?;
        let traces = self.traces(slot, Wanted::All, Tracer::Parity(types)).await?;
        let told = traces.into_iter().filter_map(|(index, trace)| match trace {
            Trace::Parity(full_trace) => {
                Some(TraceResultsWithTransactionHash { full_trace: *full_trace, transaction_hash: hashes[index] })
            }
            Trace::Geth(_) | Trace::Flat(_) => None,
        });
        Ok(told.collect())
    }

    /// Parity's calls of the `wanted` transactions of a block.
    pub(super) async fn flat(&self, slot: Slot, wanted: Wanted) -> Answer<Vec<LocalizedTransactionTrace>> {
        let hash = self.chain.params().block_hash(slot.0);
        let traces = self.traces(slot, wanted, Tracer::Flat).await?;
        let flat =
            traces.into_iter().filter_map(|(_, trace)| if let Trace::Flat(flat) = trace { Some(flat) } else { None });
        let placed = |trace| LocalizedTransactionTrace { block_hash: Some(hash), block_number: Some(slot.0), ..trace };
        Ok(flat.flatten().map(placed).collect())
    }

    /// What `tracer` sees of the `wanted` transactions of a block, by their places in it.
    async fn traces(&self, slot: Slot, wanted: Wanted, tracer: Tracer) -> Answer<Vec<(usize, Trace)>> {
        let mut seen = Vec::new();
        for past in self.pasts(slot, wanted).await? {
            // Nothing runs at the very first slot, which has no state before it.
            let Some(before) = past.slot.0.checked_sub(1).map(Slot) else { continue };
            let tracer = tracer.clone();
            let run = running(move |ground, view| {
                let Past { transactions, wanted, .. } = &past;
                trace_block(ground, transactions, *wanted, &tracer, view)
            });
            seen.extend(self.chain.over(Moment::After(before), run).await?);
        }
        seen.sort_by_key(|(place, _)| *place);
        Ok(seen)
    }

    /// What has to be run again for the `wanted` transactions of a block: what ran at its own slot, and for each that it shows late
    /// what ran at that one's.
    async fn pasts(&self, slot: Slot, wanted: Wanted) -> Answer<Vec<Past>> {
        let block = self.told(slot).await?;
        let all = block.outcomes.iter().enumerate();
        let (prompt, late): (Vec<_>, Vec<_>) = all.partition(|(_, record)| record.number == slot.0);
        let here = match wanted {
            Wanted::All => Some(Wanted::All),
            Wanted::One(wanted) => prompt.iter().position(|(place, _)| *place == wanted).map(Wanted::One),
        };
        let mut pasts = Vec::new();
        if let Some(wanted) = here {
            pasts.push(Past { slot, transactions: self.committed(prompt).await?, wanted });
        }
        for (place, record) in late {
            if [Wanted::All, Wanted::One(place)].contains(&wanted) {
                pasts.push(self.late(place, record).await?);
            }
        }
        Ok(pasts)
    }

    /// What ran at the slot of a transaction that a later block shows, and then that one.
    async fn late(&self, place: usize, record: &OutcomeRecord) -> Answer<Past> {
        let slot = Slot(record.number);
        let own = self.told(slot).await?;
        let before =
            own.outcomes.iter().filter(|before| before.number == slot.0 && before.transaction != record.transaction);
        let transactions = self.committed(before.enumerate().chain([(place, record)]).collect()).await?;
        Ok(Past { slot, wanted: Wanted::One(transactions.len() - 1), transactions })
    }

    /// What a block shows at these places, with what is needed to run it again.
    async fn committed(&self, shown: Vec<(usize, &OutcomeRecord)>) -> Answer<Vec<Committed>> {
        let mut all: Vec<BoxFuture<'_, Answer<Committed>>> = Vec::with_capacity(shown.len());
        for (place, record) in shown {
            all.push(self.committed_at(place, record).boxed());
        }
        iter(all).buffered(OWN_CALLS_AT_ONCE_COUNT).try_collect().await
    }

    async fn committed_at(&self, place: usize, record: &OutcomeRecord) -> Answer<Committed> {
        let (hash, slot) = (record.transaction, Slot(record.number));
        let transaction = self.step(record).await?;
        Ok(Committed { place, hash, slot, outcome: record.outcome.clone(), transaction })
    }

    /// What ran: the signed transaction, or the call of the protocol's own that its shard names.
    async fn step(&self, record: &OutcomeRecord) -> Answer<Option<Step>> {
        if record.bytes.is_empty() {
            return Ok(self.chain.own_call(record).await?.map(Step::System));
        }
        let broken = |reason: evm::TransactionError| error(INTERNAL_ERROR_CODE, reason.to_string());
        let signed = RecoveredTransaction::committed(record.bytes.clone(), record.sender).map_err(broken)?;
        Ok(Some(Step::Signed(Box::new(signed))))
    }

    /// The block of a closed slot, if it is one that can be run again.
    async fn told(&self, slot: Slot) -> Answer<Arc<SlotBlock>> {
        if self.chain.params().environments == Environments::Replay {
            let text = "a network that replays another chain's blocks keeps nothing to run them again with";
            return Err(Rejection::new(Reason::Unsupported, text).into());
        }
        let block = self.chain.block(slot).await?;
        if let Some(shard) = block.silent.first() {
            let text =
                format!("block {slot} is told without shard {shard}, which is silent: it cannot be run again yet");
            return Err(Rejection::new(Reason::Unavailable, text).into());
        }
        Ok(block)
    }

    async fn hashes(&self, slot: Slot) -> Answer<Vec<B256>> {
        Ok(self.chain.block(slot).await?.outcomes.iter().map(|record| record.transaction).collect())
    }

    pub(super) async fn placed(&self, hash: B256) -> Answer<Option<(Slot, usize)>> {
        Ok(match self.chain.transaction(hash).await? {
            Some(Found::Placed(entry)) => Some((entry.slot, entry.index)),
            Some(Found::Pending { .. }) | None => None,
        })
    }

    async fn existing(&self, id: BlockId) -> Answer<Slot> {
        let missing = match id {
            BlockId::Number(BlockNumberOrTag::Number(number)) => format!("block #{number} not found"),
            BlockId::Number(tag) => format!("block {tag} not found"),
            BlockId::Hash(hash) => format!("block {} not found", hash.block_hash),
        };
        self.slot_of(id).await?.ok_or_else(|| error(SERVER_ERROR_CODE, missing))
    }
}

fn geth(trace: &Trace) -> Answer<Value> {
    match trace {
        Trace::Geth(trace) => value(trace),
        Trace::Flat(_) | Trace::Parity(_) => Err(error(INTERNAL_ERROR_CODE, "a trace of another tracer")),
    }
}

fn lost(hash: B256) -> ErrorObjectOwned {
    error(INTERNAL_ERROR_CODE, format!("no trace of {hash}"))
}

fn value<T: serde::Serialize>(told: &T) -> Answer<Value> {
    serde_json::to_value(told).map_err(|broken| error(INTERNAL_ERROR_CODE, broken.to_string()))
}
