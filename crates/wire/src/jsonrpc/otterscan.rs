//! `ots_*`: what the explorer Otterscan asks a node for, so that it needs no indexer.
//!
//! ```text
//! an address's pages: the chain index -> blocks that it took part in -> its transactions, newest first
//! what happened inside: a trace -> calls, value that moved, what was created
//! a contract's creator: the index, or the first block after which it has code, and its traces
//! ```
//!
//! A page holds whole blocks, so it may be longer than asked for. Numbers come as JSON's or as quantities.
//! Source: Otterscan, "Custom JSON-RPC API methods", level 8; Erigon for what it leaves open.

mod shapes;

use super::arguments::{Count, Height, read};
use super::block_id::unknown_block;
use super::chain::{Chain, Moment};
use super::entry::EntryView;
use super::error::{Answer, invalid_params};
use super::methods::serve;
use super::node::Node;
use super::parties::{Order, involves};
use super::view::{BlockView, Detail, hex};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::BlockId;
use evm::trace::Wanted;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::Params;
use primitives::Slot;
use serde_json::{Value, json};

/// The level of the interface that is spoken.
const API_LEVEL: u64 = 8;

/// The most transactions that a page is asked to have.
pub(super) const PAGE_COUNT_MAX: u64 = 100;

/// Adds these methods.
pub(super) fn register<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    module.register_method("ots_getApiLevel", |params, _, _| read::<()>(&params).map(|()| API_LEVEL))?;
    serve! { module:
        "ots_hasCode" => has_code,
        "ots_getTransactionError" => transaction_error,
        "ots_getInternalOperations" => internal_operations,
        "ots_traceTransaction" => otterscan_trace,
        "ots_getBlockDetails" => block_details,
        "ots_getBlockDetailsByHash" => block_details_by_hash,
        "ots_getBlockTransactions" => block_transactions,
        "ots_searchTransactionsBefore" => search_before,
        "ots_searchTransactionsAfter" => search_after,
        "ots_getTransactionBySenderAndNonce" => transaction_by_sender_and_nonce,
        "ots_getContractCreator" => contract_creator,
    }
    Ok(())
}

impl<C: Chain> Node<C> {
    async fn has_code(&self, params: Params<'static>) -> Answer<bool> {
        let (address, id): (Address, Option<BlockId>) = read(&params)?;
        let moment = self.moment_of(id).await?;
        Ok(!self.chain.account(address, moment).await?.code.is_empty())
    }

    /// What a failed transaction gave back; nothing of one that did not fail.
    async fn transaction_error(&self, params: Params<'static>) -> Answer<Option<Bytes>> {
        let (hash,): (B256,) = read(&params)?;
        let Some((slot, index)) = self.placed(hash).await? else { return Ok(None) };
        let block = self.chain.block(slot).await?;
        Ok(block.outcomes.get(index).map(|record| shapes::failure(&record.outcome)))
    }

    async fn internal_operations(&self, params: Params<'static>) -> Answer<Option<Vec<Value>>> {
        let (hash,): (B256,) = read(&params)?;
        let Some((slot, index)) = self.placed(hash).await? else { return Ok(None) };
        let traces = self.flat(slot, Wanted::One(index)).await?;
        Ok(Some(traces.iter().filter_map(|trace| shapes::operation(&trace.trace)).collect()))
    }

    async fn otterscan_trace(&self, params: Params<'static>) -> Answer<Option<Vec<Value>>> {
        let (hash,): (B256,) = read(&params)?;
        let Some((slot, index)) = self.placed(hash).await? else { return Ok(None) };
        let traces = self.flat(slot, Wanted::One(index)).await?;
        Ok(Some(traces.iter().map(|trace| shapes::entry(&trace.trace)).collect()))
    }

    async fn block_details(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (Height(tag),) = read(&params)?;
        self.details(self.slot_of_tag(tag).await?).await
    }

    async fn block_details_by_hash(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (hash,): (B256,) = read(&params)?;
        self.details(self.chain.slot_of_hash(hash).await?).await
    }

    /// A block without its transactions, with what they paid. Nothing is issued here.
    async fn details(&self, slot: Option<Slot>) -> Answer<Option<Value>> {
        let Some(slot) = slot else { return Ok(None) };
        let details = |view: BlockView<'_>| {
            let mut block = view.block(Detail::Hashes)?;
            shapes::without(&mut block, &["transactions", "logsBloom"]);
            block["transactionCount"] = hex(view.block.outcomes.len() as u64).into();
            let nothing = json!({ "blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0" });
            Ok(json!({ "block": block, "issuance": nothing, "totalFees": shapes::fees(view.block) }))
        };
        self.viewed(slot, details).await.map(Some)
    }

    /// A page of a block's transactions and receipts, counted from its end, with inputs cut to their first four bytes.
    async fn block_transactions(&self, params: Params<'static>) -> Answer<Value> {
        let (Height(tag), Count(page), Count(size)) = read(&params)?;
        let size = page_size(size)?;
        let slot = self.slot_of_tag(tag).await?.ok_or_else(unknown_block)?;
        let paged = |view: BlockView<'_>| {
            let count = view.block.outcomes.len();
            let skipped = usize::try_from(page).unwrap_or(usize::MAX).saturating_mul(size);
            let end = count.saturating_sub(skipped);
            let range = end.saturating_sub(size)..end;
            let mut block = view.block(Detail::Hashes)?;
            shapes::without(&mut block, &["logsBloom"]);
            block["transactionCount"] = hex(count as u64).into();
            let entries = || view.entries().skip(range.start).take(range.len());
            let cut = |entry: EntryView<'_>| Ok(shapes::cut_input(entry.transaction()?));
            block["transactions"] = entries().map(cut).collect::<Answer<Vec<Value>>>()?.into();
            let receipt = |entry: EntryView<'_>| Ok(shapes::without_logs(entry.receipt()?));
            let receipts = entries().map(receipt).collect::<Answer<Vec<Value>>>()?;
            Ok(json!({ "fullblock": block, "receipts": receipts }))
        };
        self.viewed(slot, paged).await
    }

    /// The transactions of an address in the blocks before one; before none for the newest.
    async fn search_before(&self, params: Params<'static>) -> Answer<Value> {
        let (address, Count(number), Count(size)): (Address, _, _) = read(&params)?;
        let (size, head, earliest) = (page_size(size)?, self.chain.head().await?, self.chain.earliest());
        let to = if number == 0 { Some(head) } else { number.checked_sub(1).map(|number| head.min(Slot(number))) };
        let Some(to) = to.filter(|to| *to >= earliest) else { return Ok(Page::default().told(true, true)) };
        let page = self.page(address, (earliest, to), Order::Descending, size).await?;
        let newer = if to < head { self.any(address, Slot(to.0 + 1), head).await? } else { false };
        let is_last = page.is_whole;
        Ok(page.told(!newer, is_last))
    }

    /// The transactions of an address in the blocks after one; after none for the oldest.
    async fn search_after(&self, params: Params<'static>) -> Answer<Value> {
        let (address, Count(number), Count(size)): (Address, _, _) = read(&params)?;
        let (size, head, earliest) = (page_size(size)?, self.chain.head().await?, self.chain.earliest());
        let from = if number == 0 { earliest } else { earliest.max(Slot(number.saturating_add(1))) };
        if from > head {
            return Ok(Page::default().told(true, !self.any(address, earliest, head).await?));
        }
        let mut page = self.page(address, (from, head), Order::Ascending, size).await?;
        page.found.reverse();
        let older = if from > earliest { self.any(address, earliest, Slot(from.0 - 1)).await? } else { false };
        let is_first = page.is_whole;
        Ok(page.told(is_first, !older))
    }

    /// The transactions of an address between two blocks, of as many blocks as it takes to have `size`.
    async fn page(&self, address: Address, (from, to): (Slot, Slot), order: Order, size: usize) -> Answer<Page> {
        let slots = self.chain.involving(address, (from, to), order, size + 1).await?;
        let mut page = Page::default();
        for slot in slots {
            if page.found.len() >= size {
                return Ok(page);
            }
            let mut of_block = self.of_block(address, slot).await?;
            if order == Order::Descending {
                of_block.reverse();
            }
            page.found.extend(of_block);
        }
        // Each slot has one at least, so all slots that there are have been looked at.
        page.is_whole = true;
        Ok(page)
    }

    /// The transactions of an address in a block, each with its receipt.
    async fn of_block(&self, address: Address, slot: Slot) -> Answer<Vec<(Value, Value)>> {
        self.viewed(slot, |view| {
            let time = hex(view.time);
            let its = view.entries().filter(|entry| involves(entry.record, address));
            let told = |entry: EntryView<'_>| {
                let mut receipt = entry.receipt()?;
                receipt["timestamp"] = time.clone().into();
                Ok((entry.transaction()?, receipt))
            };
            its.map(told).collect()
        })
        .await
    }

    async fn any(&self, address: Address, from: Slot, to: Slot) -> Answer<bool> {
        // From the end, where a node that does not keep all blocks still knows them.
        Ok(!self.chain.involving(address, (from, to), Order::Descending, 1).await?.is_empty())
    }

    async fn transaction_by_sender_and_nonce(&self, params: Params<'static>) -> Answer<Option<B256>> {
        let (sender, Count(nonce)): (Address, _) = read(&params)?;
        Ok(self.chain.sent(sender, nonce).await?)
    }

    /// Who created a contract, and in which transaction; none for what has no code or had it from the beginning.
    async fn contract_creator(&self, params: Params<'static>) -> Answer<Option<Value>> {
        let (address,): (Address,) = read(&params)?;
        if let Some(hash) = self.chain.creation(address).await? {
            let Some((slot, index)) = self.placed(hash).await? else { return Ok(None) };
            let block = self.chain.block(slot).await?;
            return Ok(block.outcomes.get(index).map(|record| json!({ "hash": hash, "creator": record.sender })));
        }
        let Some(slot) = self.first_with_code(address).await? else { return Ok(None) };
        let traces = self.flat(slot, Wanted::All).await?;
        let creation = traces.iter().find(|trace| shapes::creates(&trace.trace, address));
        let told = |trace: &evm::trace::LocalizedTransactionTrace| {
            Some(json!({ "hash": trace.transaction_hash?, "creator": shapes::creator(&trace.trace)? }))
        };
        Ok(creation.and_then(told))
    }

    /// The block that an address has code after and did not have before: looked for backwards in ever longer strides, then
    /// between the last two.
    ///
    /// # Errors
    /// As any read of history, where it had code before what is kept.
    async fn first_with_code(&self, address: Address) -> Answer<Option<Slot>> {
        let (mut with, earliest) = (self.chain.head().await?, self.chain.earliest());
        if !self.had_code(address, with).await? {
            return Ok(None);
        }
        let mut stride = 1;
        let mut without = loop {
            let before = Slot(with.0.saturating_sub(stride).max(earliest.0));
            if !self.had_code(address, before).await? {
                break before;
            }
            if before == earliest {
                return Ok(None);
            }
            (with, stride) = (before, stride.saturating_mul(2));
        };
        while with.0 - without.0 > 1 {
            let middle = Slot(without.0 + (with.0 - without.0) / 2);
            if self.had_code(address, middle).await? { with = middle } else { without = middle }
        }
        Ok(Some(with))
    }

    async fn had_code(&self, address: Address, slot: Slot) -> Answer<bool> {
        Ok(!self.chain.account(address, Moment::After(slot)).await?.code.is_empty())
    }
}

/// Transactions of an address, the newest first once it is told.
#[derive(Debug, Default)]
struct Page {
    /// Each with its receipt.
    found: Vec<(Value, Value)>,
    /// Whether there are no more in this direction.
    is_whole: bool,
}

impl Page {
    fn told(self, is_first: bool, is_last: bool) -> Value {
        let (transactions, receipts): (Vec<Value>, Vec<Value>) = self.found.into_iter().unzip();
        json!({ "txs": transactions, "receipts": receipts, "firstPage": is_first, "lastPage": is_last })
    }
}

fn page_size(size: u64) -> Answer<usize> {
    match usize::try_from(size) {
        Ok(size) if (1..=PAGE_COUNT_MAX).contains(&(size as u64)) => Ok(size),
        _ => Err(invalid_params(format!("a page of {size} transactions, where 1 to {PAGE_COUNT_MAX} are told"))),
    }
}

/// What a block's transactions paid, in wei.
fn paid(gas_used: u64, gas_price: u128) -> U256 {
    U256::from(gas_used).saturating_mul(U256::from(gas_price))
}
