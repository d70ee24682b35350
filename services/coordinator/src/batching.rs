//! Few large calls instead of many small ones: what is to be said while a call is under way goes with the next.
//!
//! ```text
//!   items ──> waiting ──(no call under way, or it takes long)──> one call with all of them
//! ```
//!
//! Promise: an item is sent at once when nothing is under way, and otherwise after [`CALL_AWAITED_MAX`] at the latest, unless more
//! than [`BATCH_COUNT_MAX`] wait before it; one slow item never holds up more than its own call. Knows nothing of what the items
//! are, and nothing of answers.

use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a call is waited for before the next one is made beside it.
const CALL_AWAITED_MAX: Duration = Duration::from_millis(25);

/// The most items of one call. Clients split calls by what a message may hold.
const BATCH_COUNT_MAX: usize = 256;

/// Gathers items of one kind for one shard. What waits is bounded by what its machine has under way.
#[derive(Debug)]
pub(crate) struct Batching<T> {
    waiting: mpsc::UnboundedSender<T>,
}

impl<T: Send + 'static> Batching<T> {
    /// Calls `call` with what is gathered, until this is dropped.
    pub(crate) fn start<F>(call: impl Fn(Vec<T>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (waiting, items) = mpsc::unbounded_channel();
        tokio::spawn(gather(items, call));
        Self { waiting }
    }

    /// Sends `items`, with whatever else waits.
    pub(crate) fn send(&self, items: Vec<T>) {
        for item in items {
            // Whoever takes them lives as long as this does.
            let _ = self.waiting.send(item);
        }
    }
}

async fn gather<T, F>(mut items: mpsc::UnboundedReceiver<T>, call: impl Fn(Vec<T>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut batch = Vec::new();
    while items.recv_many(&mut batch, BATCH_COUNT_MAX).await > 0 {
        // A call that panics is a call that failed: its machine says everything again.
        let call = tokio::spawn(call(std::mem::take(&mut batch)));
        let _ = tokio::time::timeout(CALL_AWAITED_MAX, call).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    type Calls = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Records each call, and takes `length` for it.
    fn slow(length: Duration) -> (Batching<u32>, Calls) {
        let calls = Calls::default();
        let seen = Arc::clone(&calls);
        let batching = Batching::start(move |batch| {
            seen.lock().unwrap().push(batch);
            tokio::time::sleep(length)
        });
        (batching, calls)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_a_call_is_under_way_goes_with_the_next() {
        let (batching, calls) = slow(Duration::from_millis(4));
        batching.send(vec![1]);
        tokio::time::sleep(Duration::from_millis(1)).await;
        batching.send(vec![2]);
        batching.send(vec![3, 4]);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(*calls.lock().unwrap(), [vec![1]]);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(*calls.lock().unwrap(), [vec![1], vec![2, 3, 4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_long_holds_up_nobody_else_for_long() {
        let (batching, calls) = slow(Duration::from_secs(9));
        batching.send(vec![1]);
        tokio::time::sleep(Duration::from_millis(1)).await;
        batching.send(vec![2]);
        tokio::time::sleep(CALL_AWAITED_MAX).await;
        assert_eq!(*calls.lock().unwrap(), [vec![1], vec![2]]);
    }
}
