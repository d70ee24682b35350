//! Installed filters: what `eth_newFilter` and `eth_newBlockFilter` leave behind. Each is a cursor, never a queue.

use super::chain::Chain;
use super::error::{SERVER_ERROR_CODE, UNAVAILABLE_CODE, error};
use super::node::Node;
use super::random;
use crate::limits::{FILTER_IDLE_MAX, FILTERS_COUNT_MAX, LOGS_SLOTS_MAX};
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{Filter, FilterChanges, Log};
use jsonrpsee::types::ErrorObjectOwned;
use primitives::Slot;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a filter looks for.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Hashes of new blocks.
    Blocks,
    /// New logs that match.
    Logs(Box<Filter>),
}

#[derive(Debug, Clone)]
struct Installed {
    kind: Kind,
    /// The first slot not told yet.
    next: Slot,
    used: Instant,
}

/// All installed filters, at most [`FILTERS_COUNT_MAX`].
#[derive(Debug, Default)]
pub(super) struct Filters {
    by_id: Mutex<BTreeMap<U256, Installed>>,
}

/// What a filter has to tell: `alloy`'s changes with our logs.
pub(super) type Changes = FilterChanges<(), Log>;

impl Filters {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<U256, Installed>> {
        // A panic while it was held left a whole map: nothing in here fails half way.
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Installs a filter that tells of slots from `next` on.
    ///
    /// # Errors
    /// If the table is full of filters that are in use.
    pub(super) fn install(&self, kind: Kind, next: Slot) -> Result<U256, ErrorObjectOwned> {
        let mut filters = self.lock();
        filters.retain(|_, filter| filter.used.elapsed() < FILTER_IDLE_MAX);
        if filters.len() >= FILTERS_COUNT_MAX {
            let message = format!("{FILTERS_COUNT_MAX} filters are installed; uninstall some or ask again later");
            return Err(error(UNAVAILABLE_CODE, message));
        }
        let id = U256::from(random());
        filters.insert(id, Installed { kind, next, used: Instant::now() });
        Ok(id)
    }

    /// Removes a filter; whether there was one.
    pub(super) fn uninstall(&self, id: U256) -> bool {
        self.lock().remove(&id).is_some()
    }

    fn get(&self, id: U256) -> Result<(Kind, Slot), ErrorObjectOwned> {
        let mut filters = self.lock();
        let filter = filters.get_mut(&id).ok_or_else(|| error(SERVER_ERROR_CODE, "filter not found"))?;
        filter.used = Instant::now();
        Ok((filter.kind.clone(), filter.next))
    }

    fn advance(&self, id: U256, next: Slot) {
        if let Some(filter) = self.lock().get_mut(&id) {
            filter.next = next;
        }
    }
}

impl<C: Chain> Node<C> {
    /// What is new since a filter was asked last; the rest of much news comes with the next question.
    pub(super) async fn filter_changes(&self, id: U256) -> Result<Changes, ErrorObjectOwned> {
        let (kind, next) = self.filters.get(id)?;
        let head = self.chain.head().await?;
        if next > head {
            return Ok(FilterChanges::Empty);
        }
        let (changes, next) = match kind {
            Kind::Blocks => {
                let last = Slot(head.0.min(next.0.saturating_add(LOGS_SLOTS_MAX - 1)));
                let hashes: Vec<B256> = (next.0..=last.0).map(|slot| self.chain.params().block_hash(slot)).collect();
                (FilterChanges::Hashes(hashes), Slot(last.0 + 1))
            }
            Kind::Logs(filter) => {
                let page = self.log_page(&filter, next, head).await?;
                (FilterChanges::Logs(page.logs), page.next)
            }
        };
        self.filters.advance(id, next);
        Ok(changes)
    }

    /// All logs that a log filter matches, from its own range.
    pub(super) async fn filter_logs(&self, id: U256) -> Result<Vec<Log>, ErrorObjectOwned> {
        match self.filters.get(id)?.0 {
            Kind::Logs(filter) => self.logs(&filter).await,
            Kind::Blocks => Err(error(SERVER_ERROR_CODE, "not a log filter")),
        }
    }
}
