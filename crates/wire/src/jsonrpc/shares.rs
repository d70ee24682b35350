//! Calls and estimates in work, so many a client: whoever asks much waits for itself and leaves places to the others.

use super::error::{LIMIT_CODE, error};
use crate::limits::{JSONRPC_RUNS_PER_CLIENT_COUNT_MAX, JSONRPC_RUNS_WAITING_COUNT_MAX};
use crate::server::Client;
use jsonrpsee::types::ErrorObjectOwned;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The methods that run code, and so take places that all clients share.
const METHODS: [&str; 8] = [
    "eth_call",
    "eth_estimateGas",
    "eth_createAccessList",
    "eth_simulateV1",
    "eth_fillTransaction",
    "ots_getContractCreator",
    "ots_getInternalOperations",
    "ots_traceTransaction",
];
/// What the names of all others that do begin with.
const PREFIXES: [&str; 2] = ["debug_trace", "trace_"];

/// What each client has in work or waiting. Clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares(Arc<Mutex<BTreeMap<Client, Line>>>);

#[derive(Debug)]
struct Line {
    places: Arc<Semaphore>,
    /// In work and waiting.
    count: usize,
}

/// A place of one client's share, until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    _place: OwnedSemaphorePermit,
    _entry: Entry,
}

/// One in a client's line.
#[derive(Debug)]
struct Entry {
    client: Client,
    shares: Shares,
}

impl Shares {
    /// Whether a method runs code.
    pub(super) fn is(method: &str) -> bool {
        METHODS.contains(&method) || PREFIXES.iter().any(|prefix| method.starts_with(prefix))
    }

    /// One more of [`JSONRPC_RUNS_PER_CLIENT_COUNT_MAX`] places of `client`, as soon as there is one.
    ///
    /// # Errors
    /// With [`LIMIT_CODE`] when [`JSONRPC_RUNS_WAITING_COUNT_MAX`] wait already.
    pub(super) async fn take(&self, client: Client) -> Result<Share, ErrorObjectOwned> {
        let (entry, places) = self.enter(client)?;
        let closed = |_| error(LIMIT_CODE, "no calls are taken any more");
        let place = places.acquire_owned().await.map_err(closed)?;
        Ok(Share { _place: place, _entry: entry })
    }

    fn enter(&self, client: Client) -> Result<(Entry, Arc<Semaphore>), ErrorObjectOwned> {
        let mut lines = self.lock();
        let line = lines
            .entry(client)
            .or_insert_with(|| Line { places: Arc::new(Semaphore::new(JSONRPC_RUNS_PER_CLIENT_COUNT_MAX)), count: 0 });
        if line.count >= JSONRPC_RUNS_PER_CLIENT_COUNT_MAX + JSONRPC_RUNS_WAITING_COUNT_MAX {
            let text = format!(
                "{JSONRPC_RUNS_PER_CLIENT_COUNT_MAX} calls and estimates of this client are in work and \
                 {JSONRPC_RUNS_WAITING_COUNT_MAX} wait already: wait for an answer"
            );
            return Err(error(LIMIT_CODE, text));
        }
        line.count += 1;
        Ok((Entry { client, shares: self.clone() }, Arc::clone(&line.places)))
    }

    /// The map behind the lock is whole after every operation, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Client, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut lines = self.shares.lock();
        if let Some(line) = lines.get_mut(&self.client) {
            line.count -= 1;
            if line.count == 0 {
                lines.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use std::net::SocketAddr;

    #[tokio::test]
    async fn a_client_that_has_its_share_waits_and_others_do_not() {
        let shares = Shares::default();
        let other = Client::from(SocketAddr::from(([10, 0, 0, 1], 1)));
        let mut taken = join_all((0..JSONRPC_RUNS_PER_CLIENT_COUNT_MAX).map(|_| shares.take(Client::LOCAL))).await;
        let mut next = Box::pin(shares.take(Client::LOCAL));
        assert!(next.as_mut().now_or_never().is_none(), "it has no place yet");
        assert!(shares.take(other).now_or_never().is_some_and(|place| place.is_ok()));
        taken.pop();
        assert!(next.await.is_ok());
        drop(taken);
        assert!(shares.lock().is_empty(), "who has nothing in work is forgotten");
    }

    #[tokio::test]
    async fn a_client_of_which_too_many_wait_is_refused() {
        let shares = Shares::default();
        let count = JSONRPC_RUNS_PER_CLIENT_COUNT_MAX + JSONRPC_RUNS_WAITING_COUNT_MAX;
        let line: Vec<_> = (0..count).map(|_| shares.enter(Client::LOCAL).unwrap()).collect();
        assert_eq!(shares.take(Client::LOCAL).await.unwrap_err().code(), LIMIT_CODE);
        drop(line);
        assert!(shares.take(Client::LOCAL).await.is_ok());
    }

    #[test]
    fn what_runs_code_is_known_by_its_name() {
        assert!(Shares::is("eth_call") && Shares::is("debug_traceCall") && Shares::is("trace_block"));
        assert!(!Shares::is("eth_getBalance") && !Shares::is("debug_getRawBlock"));
    }
}
