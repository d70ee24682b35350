//! Installed filters: what `eth_newFilter` and its like leave behind. Each is a cursor, never a queue, and moves under a lock of
//! its own: what two askers ask of one filter at once is told to one of them.
//!
//! Promise (I19): a client has so many filters and no more. Where one more is installed its idlest goes, which nobody else's
//! does; where all clients together have too many, the idlest of whoever has most.

use super::chain::Chain;
use super::error::{SERVER_ERROR_CODE, error};
use super::node::Node;
use super::random;
use crate::limits::{FILTER_IDLE_MAX, FILTERS_COUNT_MAX, FILTERS_PER_CLIENT_COUNT_MAX, LOGS_SLOTS_MAX};
use crate::server::Client;
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{Filter, FilterChanges, Log};
use jsonrpsee::types::ErrorObjectOwned;
use primitives::Slot;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

/// What a filter looks for.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Hashes of new blocks.
    Blocks,
    /// New logs that match.
    Logs(Box<Filter>),
    /// Transactions that were taken in.
    Pending(Shown),
}

/// How a transaction that was taken in is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// By its hash.
    Hash,
    /// With all fields.
    Full,
}

#[derive(Debug, Clone)]
struct Installed {
    client: Client,
    kind: Kind,
    /// The number of the first slot, or arrival, not told yet.
    next: Arc<AsyncMutex<u64>>,
    used: Instant,
}

/// All installed filters, at most [`FILTERS_COUNT_MAX`].
#[derive(Debug, Default)]
pub(super) struct Filters {
    by_id: Mutex<BTreeMap<U256, Installed>>,
}

/// What a filter has to tell: `alloy`'s changes with our logs.
pub(super) type Changes = FilterChanges<Value, Log>;

impl Filters {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<U256, Installed>> {
        // A panic while it was held left a whole map: nothing in here fails half way.
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Installs a filter of `client` that tells of slots, or arrivals, from `next` on.
    pub(super) fn install(&self, client: Client, kind: Kind, next: u64) -> U256 {
        let mut filters = self.lock();
        let now = Instant::now();
        filters.retain(|_, filter| now.duration_since(filter.used) < FILTER_IDLE_MAX);
        if filters.values().filter(|filter| filter.client == client).count() >= FILTERS_PER_CLIENT_COUNT_MAX {
            remove_idlest(&mut filters, client);
        } else if filters.len() >= FILTERS_COUNT_MAX {
            let most = who_has_most(&filters).unwrap_or(client);
            remove_idlest(&mut filters, most);
        }
        let id = U256::from(random());
        let next = Arc::new(AsyncMutex::new(next));
        filters.insert(id, Installed { client, kind, next, used: now });
        id
    }

    /// Removes a filter; whether there was one.
    pub(super) fn uninstall(&self, id: U256) -> bool {
        self.lock().remove(&id).is_some()
    }

    fn get(&self, id: U256) -> Result<Installed, ErrorObjectOwned> {
        let mut filters = self.lock();
        let filter = filters.get_mut(&id).ok_or_else(|| error(SERVER_ERROR_CODE, "filter not found"))?;
        filter.used = Instant::now();
        Ok(filter.clone())
    }
}

fn who_has_most(filters: &BTreeMap<U256, Installed>) -> Option<Client> {
    let mut counts = BTreeMap::<Client, usize>::new();
    for filter in filters.values() {
        *counts.entry(filter.client).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(client, _)| client)
}

fn remove_idlest(filters: &mut BTreeMap<U256, Installed>, client: Client) {
    let of_client = filters.iter().filter(|(_, filter)| filter.client == client);
    if let Some(id) = of_client.min_by_key(|(_, filter)| filter.used).map(|(id, _)| *id) {
        filters.remove(&id);
    }
}

impl<C: Chain> Node<C> {
    /// What is new since a filter was asked last; the rest of much news comes with the next question.
    pub(super) async fn filter_changes(&self, id: U256) -> Result<Changes, ErrorObjectOwned> {
        let filter = self.filters.get(id)?;
        // Held until the cursor has moved: whoever asks meanwhile waits, and hears what is new after that.
        let mut next = filter.next.lock().await;
        let (changes, moved) = match filter.kind {
            Kind::Pending(shown) => self.arrivals(*next, shown),
            Kind::Blocks => self.new_blocks(Slot(*next)).await?,
            Kind::Logs(wanted) => self.new_logs(&wanted, Slot(*next)).await?,
        };
        *next = moved;
        Ok(changes)
    }

    async fn new_blocks(&self, next: Slot) -> Result<(Changes, u64), ErrorObjectOwned> {
        let head = self.chain.head().await?;
        if next > head {
            return Ok((FilterChanges::Empty, next.0));
        }
        let last = head.0.min(next.0.saturating_add(LOGS_SLOTS_MAX - 1));
        let hashes: Vec<B256> = (next.0..=last).map(|slot| self.chain.params().block_hash(slot)).collect();
        Ok((FilterChanges::Hashes(hashes), last + 1))
    }

    async fn new_logs(&self, wanted: &Filter, next: Slot) -> Result<(Changes, u64), ErrorObjectOwned> {
        let head = self.chain.head().await?;
        if next > head {
            return Ok((FilterChanges::Empty, next.0));
        }
        let page = self.log_page(wanted, next, head).await?;
        Ok((FilterChanges::Logs(page.logs), page.next.0))
    }

    fn arrivals(&self, next: u64, shown: Shown) -> (Changes, u64) {
        let page = self.chain.intake().page(next);
        let changes = match shown {
            Shown::Hash => FilterChanges::Hashes(page.arrivals.iter().map(|arrival| arrival.hash).collect()),
            Shown::Full => FilterChanges::Transactions(page.arrivals.iter().filter_map(|a| a.view().ok()).collect()),
        };
        (changes, page.next)
    }

    /// All logs that a log filter matches, from its own range.
    pub(super) async fn filter_logs(&self, id: U256) -> Result<Vec<Log>, ErrorObjectOwned> {
        match self.filters.get(id)?.kind {
            Kind::Logs(filter) => self.logs(&filter).await,
            Kind::Blocks | Kind::Pending(_) => Err(error(SERVER_ERROR_CODE, "not a log filter")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn client(number: u8) -> Client {
        SocketAddr::from(([10, 0, 0, number], 1)).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_too_many_filters_loses_its_idlest_and_nobody_elses() {
        let filters = Filters::default();
        let others = filters.install(client(2), Kind::Blocks, 0);
        let first = filters.install(client(1), Kind::Blocks, 0);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let second = filters.install(client(1), Kind::Blocks, 0);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        filters.get(first).unwrap();
        for _ in 2..=FILTERS_PER_CLIENT_COUNT_MAX {
            filters.install(client(1), Kind::Blocks, 0);
        }
        assert!(filters.get(second).is_err(), "the one that was asked longest ago is gone");
        assert!(filters.get(first).is_ok() && filters.get(others).is_ok());
        assert_eq!(filters.lock().len(), FILTERS_PER_CLIENT_COUNT_MAX + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_filters_in_all_cost_whoever_has_most() {
        let filters = Filters::default();
        let only = filters.install(client(255), Kind::Blocks, 0);
        for number in 0..FILTERS_COUNT_MAX {
            let address = [10, 1, (number / FILTERS_PER_CLIENT_COUNT_MAX) as u8, 1];
            filters.install(SocketAddr::from((address, 1)).into(), Kind::Blocks, 0);
        }
        assert_eq!(filters.lock().len(), FILTERS_COUNT_MAX);
        assert!(filters.get(only).is_ok());
    }
}
