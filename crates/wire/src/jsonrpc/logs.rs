//! Queries for logs: over closed slots, bounded in slots read and logs returned.

use super::chain::{Chain, LogQuery};
use super::entry::Entry;
use super::error::{LIMIT_CODE, SERVER_ERROR_CODE, error, invalid_params};
use super::node::Node;
use crate::limits::{FILTER_VALUES_COUNT_MAX, LOGS_BYTES_MAX, LOGS_COUNT_MAX, LOGS_SLOTS_MAX};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log, Topic};
use jsonrpsee::types::ErrorObjectOwned;
use primitives::Slot;
use tokio::task::yield_now;

/// Slots looked up at a time.
const SLOTS_PAGE_COUNT: usize = 256;

/// Bytes of a log without its data, roughly: hashes, numbers, topics.
const LOG_BYTES: usize = 512;

/// Logs of a range, as far as the bounds let it be read.
#[derive(Debug)]
pub(super) struct LogPage {
    pub(super) logs: Vec<Log>,
    /// The first slot not read.
    pub(super) next: Slot,
}

/// Checks that a filter names no more addresses and topics than are allowed.
pub(super) fn check(filter: &Filter) -> Result<(), ErrorObjectOwned> {
    let largest = filter.topics.iter().map(Topic::len).chain([filter.address.len()]).max().unwrap_or_default();
    if largest <= FILTER_VALUES_COUNT_MAX {
        return Ok(());
    }
    Err(invalid_params(format!("{largest} addresses or topics where at most {FILTER_VALUES_COUNT_MAX} are allowed")))
}

fn query_of(filter: &Filter) -> LogQuery {
    let topics = filter.topics.each_ref().map(|topic| topic.iter().copied().collect());
    LogQuery { addresses: filter.address.iter().copied().collect(), topics }
}

impl<C: Chain> Node<C> {
    /// The slots that `filter` names, both included; none if they are empty or not closed yet.
    pub(super) async fn range(&self, filter: &Filter) -> Result<Option<(Slot, Slot)>, ErrorObjectOwned> {
        let (from, to) = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let unknown = || error(SERVER_ERROR_CODE, "unknown block");
                let slot = self.chain.slot_of_hash(hash).await?.ok_or_else(unknown)?;
                return Ok(Some((slot, slot)));
            }
            FilterBlockOption::Range { from_block, to_block } => (from_block, to_block),
        };
        let from = self.edge(from.unwrap_or(BlockNumberOrTag::Latest)).await?;
        let to = self.edge(to.unwrap_or(BlockNumberOrTag::Latest)).await?;
        let head = self.chain.head().await?;
        if from.max(to) > head {
            // What is not closed has no logs yet, and will have: an empty answer would say that it has none.
            let message = format!("block range extends beyond current head block: from {from} to {to}, head is {head}");
            return Err(invalid_params(message));
        }
        if from > to {
            return Err(invalid_params(format!("invalid block range params: from {from} to {to}")));
        }
        Ok((to >= self.chain.earliest()).then_some((from.max(self.chain.earliest()), to)))
    }

    /// The slot at one end of a range; a number stands for itself, closed or not.
    pub(super) async fn edge(&self, tag: BlockNumberOrTag) -> Result<Slot, ErrorObjectOwned> {
        match tag {
            BlockNumberOrTag::Number(number) => Ok(Slot(number)),
            tag => Ok(self.slot_of_tag(tag).await?.unwrap_or(self.chain.earliest())),
        }
    }

    /// All logs that match `filter`, or an error that says the range is too wide.
    pub(super) async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, ErrorObjectOwned> {
        check(filter)?;
        let Some((from, to)) = self.range(filter).await? else { return Ok(Vec::new()) };
        let page = self.log_page(filter, from, to).await?;
        if page.next > to {
            return Ok(page.logs);
        }
        let message = format!(
            "query returned more than {LOGS_COUNT_MAX} results or {LOGS_BYTES_MAX} bytes or has more than {LOGS_SLOTS_MAX} blocks to \
             look into; it was read up to block {}: ask for a smaller range",
            page.next.0.saturating_sub(1)
        );
        Err(error(LIMIT_CODE, message))
    }

    /// Matching logs of slots from `from` to `to`, up to the bounds; ends between two slots.
    pub(super) async fn log_page(&self, filter: &Filter, from: Slot, to: Slot) -> Result<LogPage, ErrorObjectOwned> {
        let mut page = LogPage { logs: Vec::new(), next: from };
        let (mut read, mut bytes) = (0, 0);
        let query = query_of(filter);
        while page.next <= to {
            let found = self.chain.search(&query, page.next, to, SLOTS_PAGE_COUNT).await?;
            for slot in found.slots {
                // Whoever has gone needs no more of it.
                yield_now().await;
                if read == LOGS_SLOTS_MAX || page.logs.len() >= LOGS_COUNT_MAX || bytes >= LOGS_BYTES_MAX {
                    page.next = slot;
                    return Ok(page);
                }
                let logs = self.logs_in(filter, &query, slot).await?;
                bytes += logs.iter().map(|log| LOG_BYTES + log.inner.data.data.len()).sum::<usize>();
                page.logs.extend(logs);
                read += 1;
            }
            page.next = found.next;
        }
        Ok(page)
    }

    /// Matching logs of one closed slot.
    async fn logs_in(&self, filter: &Filter, query: &LogQuery, slot: Slot) -> Result<Vec<Log>, ErrorObjectOwned> {
        let entries = self.chain.excerpt(query, slot).await?;
        let is_wanted = |address, topics: &[_]| filter.matches_address(address) && filter.matches_topics(topics);
        let logs = |entry: &Entry| self.seen(entry).logs_where(is_wanted).collect::<Vec<_>>();
        Ok(entries.iter().flat_map(logs).collect())
    }
}
