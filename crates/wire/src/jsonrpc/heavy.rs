//! Reads of many blocks or logs, and traces: few at once, a bounded number waiting, all others refused with the bound's name.
//!
//! ```text
//! call -> a turn (few at once, in line for a while) -> a room: a thread that finds, tells and writes the answer -> JSON
//! ```
//!
//! Each may bring many megabytes from every shard and ends as one large answer, so they are bounded as a whole, not for each
//! client.
//!
//! Promise: the threads that serve are taken by none of them, so a small question beside them is answered at once. One
//! whose client has gone ends at its next pause, and its room is taken until then.

use super::error::{Answer, LIMIT_CODE, UNAVAILABLE_CODE, error};
use crate::limits::{HEAVY_READ_WAIT_MAX, HEAVY_READS_COUNT_MAX, HEAVY_READS_WAITING_COUNT_MAX};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::INTERNAL_ERROR_CODE;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The methods whose answers may be large.
const METHODS: [&str; 26] = [
    "eth_getLogs",
    "eth_getFilterLogs",
    "eth_getFilterChanges",
    "eth_getBlockReceipts",
    "eth_feeHistory",
    "eth_simulateV1",
    "debug_traceCall",
    "debug_traceTransaction",
    "debug_traceBlockByNumber",
    "debug_traceBlockByHash",
    "trace_block",
    "trace_call",
    "trace_filter",
    "trace_replayTransaction",
    "trace_replayBlockTransactions",
    "trace_transaction",
    "eth_pendingTransactions",
    "txpool_content",
    "txpool_inspect",
    "debug_getRawReceipts",
    "ots_getBlockTransactions",
    "ots_getContractCreator",
    "ots_getInternalOperations",
    "ots_searchTransactionsAfter",
    "ots_searchTransactionsBefore",
    "ots_traceTransaction",
];

/// The turns of heavy reads, and the rooms they are made in. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct Heavy {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// As many as turns. A turn ends when nobody waits any more, a room when its thread is free again.
    rooms: Arc<Semaphore>,
}

impl Default for Heavy {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(HEAVY_READS_COUNT_MAX)),
            waiting: Arc::new(Semaphore::new(HEAVY_READS_WAITING_COUNT_MAX)),
            rooms: Arc::new(Semaphore::new(HEAVY_READS_COUNT_MAX)),
        }
    }
}

impl Heavy {
    /// Whether a method's answer may be large.
    pub(super) fn is(method: &str) -> bool {
        METHODS.contains(&method)
    }

    /// The turn of one more heavy read, which lasts until it is dropped.
    ///
    /// # Errors
    /// With [`LIMIT_CODE`] when too many wait already, or it did not come in time.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, ErrorObjectOwned> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        let waiting = self
            .waiting
            .try_acquire()
            .map_err(|_| refused(&format!("{HEAVY_READS_WAITING_COUNT_MAX} reads of blocks and logs wait already")))?;
        let turn = timeout(HEAVY_READ_WAIT_MAX, Arc::clone(&self.turns).acquire_owned()).await;
        drop(waiting);
        let late = || {
            refused(&format!(
                "{HEAVY_READS_COUNT_MAX} reads of blocks and logs run, none ended in {HEAVY_READ_WAIT_MAX:?}"
            ))
        };
        turn.ok().and_then(Result::ok).ok_or_else(late)
    }

    /// The turn of a read that has nobody to tell that it is late.
    pub(super) async fn patient_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// What `answer` comes to, as JSON, made in a room.
    ///
    /// # Errors
    /// Those of `answer`; -32603 if it panics.
    pub(super) async fn aside<T: Serialize>(
        &self,
        answer: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<Box<RawValue>> {
        let internal = |reason: String| error(INTERNAL_ERROR_CODE, reason);
        let room = Arc::clone(&self.rooms).acquire_owned().await.map_err(|closed| internal(closed.to_string()))?;
        let (waits, gone) = oneshot::channel();
        let runtime = Handle::current();
        let job = move || {
            let made = runtime.block_on(written(answer, gone));
            drop(room);
            made
        };
        let made = spawn_blocking(job).await.map_err(|fault| internal(fault.to_string()))?;
        drop(waits);
        made
    }
}

/// An answer as JSON, unless whoever waits for it has gone before it is found.
async fn written<T: Serialize>(
    answer: impl Future<Output = Answer<T>>,
    gone: oneshot::Receiver<Infallible>,
) -> Answer<Box<RawValue>> {
    tokio::select! {
        biased;
        _ = gone => Err(error(UNAVAILABLE_CODE, "nobody waits for it any more")),
        answer = answer => to_raw_value(&answer?).map_err(|fault| error(INTERNAL_ERROR_CODE, fault.to_string())),
    }
}

fn refused(reason: &str) -> ErrorObjectOwned {
    error(LIMIT_CODE, format!("{reason}: ask again later, or for less"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join, join_all};
    use std::future::pending;
    use std::sync::mpsc;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn heavy_reads_beyond_those_that_run_wait_and_beyond_those_that_wait_are_refused() {
        let heavy = Heavy::default();
        let running = join_all((0..HEAVY_READS_COUNT_MAX).map(|_| heavy.turn())).await;
        assert!(running.iter().all(Result::is_ok));
        let waiting = join_all((0..=HEAVY_READS_WAITING_COUNT_MAX).map(|_| heavy.turn())).await;
        let said = |text: &str| {
            waiting.iter().filter_map(|turn| turn.as_ref().err()).filter(|e| e.message().contains(text)).count()
        };
        assert_eq!(said("wait already"), 1);
        assert_eq!(said("none ended"), HEAVY_READS_WAITING_COUNT_MAX);
        drop(running);
        assert!(heavy.turn().await.is_ok());
    }

    #[tokio::test]
    async fn what_takes_its_thread_keeps_nobody_else_from_being_served() {
        let (end, ended) = mpsc::channel::<u64>();
        let heavy = Heavy::default();
        let long = heavy.aside(async move { Ok(ended.recv().unwrap()) });
        // This test has one thread: were it taken, nobody would be left to say the word.
        let (made, ()) = join(long, async move { end.send(7).unwrap() }).await;
        assert_eq!(made.unwrap().get(), "7");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_gives_its_room_back() {
        let heavy = Heavy::default();
        for _ in 0..=HEAVY_READS_COUNT_MAX {
            let abandoned = timeout(Duration::from_millis(1), heavy.aside(pending::<Answer<()>>())).await;
            assert!(abandoned.is_err());
        }
        assert_eq!(heavy.aside(async { Ok(1) }).await.unwrap().get(), "1");
    }
}
