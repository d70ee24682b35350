//! Reads of many blocks or logs, and traces: few at once, a bounded number waiting, all others refused with the bound's name.
//!
//! Each may bring many megabytes from every shard and ends as one large answer, so they are bounded as a whole, not for each
//! client.

use super::error::{LIMIT_CODE, error};
use crate::limits::{HEAVY_READ_WAIT_MAX, HEAVY_READS_COUNT_MAX, HEAVY_READS_WAITING_COUNT_MAX};
use jsonrpsee::types::ErrorObjectOwned;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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

/// The turns of heavy reads. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct Heavy {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Heavy {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(HEAVY_READS_COUNT_MAX)),
            waiting: Arc::new(Semaphore::new(HEAVY_READS_WAITING_COUNT_MAX)),
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
}

fn refused(reason: &str) -> ErrorObjectOwned {
    error(LIMIT_CODE, format!("{reason}: ask again later, or for less"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

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
}
