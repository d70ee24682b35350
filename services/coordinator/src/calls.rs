//! Where calls and estimates run: on a few threads of their own turn, after a bounded wait, within a deadline.
//!
//! ```text
//! call -> a place (bounded) -> [ a turn (few at once) -> run on a blocking thread -> fetch what was missing ] … -> answer
//!         '----------------------------- all of it within CALL_DURATION_MAX ------------------------------'
//! ```
//!
//! Promise: reads that run code for more than a moment cannot take the threads that serve, nor more than half of the cores
//! from what decides; a call whose client has gone runs to the end of its present run at most, which its gas bounds, and no
//! further.
//! Knows nothing of what runs.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use wire::{Reason, Rejection};

/// How long a call may take, fetches and waiting included. A single run is bounded by its gas, so one more run at most.
pub(crate) const CALL_DURATION_MAX: Duration = Duration::from_secs(5);

/// The same where values come from a chain that the network was forked from: each may take its endpoint a second.
pub(crate) const FORKED_CALL_DURATION_MAX: Duration = Duration::from_mins(1);

/// Calls in work at once, those included that wait for a turn or for a shard; more are refused.
pub(crate) const CALLS_COUNT_MAX: usize = 128;

/// The turns and places of calls.
#[derive(Debug)]
pub(crate) struct Calls {
    places: Semaphore,
    turns: Arc<Semaphore>,
    duration_max: Duration,
}

impl Calls {
    /// With a turn for every other core, and at most so long for each.
    pub(crate) fn new(duration_max: Duration) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            places: Semaphore::new(CALLS_COUNT_MAX),
            turns: Arc::new(Semaphore::new(cores.div_ceil(2))),
            duration_max,
        }
    }

    /// What `call` comes to, if there is a place for it and it ends in time.
    ///
    /// # Errors
    /// [`Reason::Busy`] or [`Reason::TimedOut`], each naming its bound, and what `call` refuses.
    pub(crate) async fn within<T>(&self, call: impl Future<Output = Result<T, Rejection>>) -> Result<T, Rejection> {
        let _place = self.place()?;
        timeout(self.duration_max, call).await.unwrap_or_else(|_| Err(late(self.duration_max)))
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, Rejection> {
        let full = |_| {
            let text = format!(
                "{CALLS_COUNT_MAX} calls and estimates are in work, which is all that are at once: ask again later"
            );
            Rejection::new(Reason::Busy, text)
        };
        self.places.try_acquire().map_err(full)
    }

    /// Runs `run` in its turn, off the threads that serve. Whoever no longer waits for it leaves it to end by itself: its turn
    /// is taken until then.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let internal = |error: &dyn std::fmt::Display| Rejection::new(Reason::Internal, error.to_string());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| internal(&error))?;
        let run = move || {
            let ran = run();
            drop(turn);
            ran
        };
        tokio::task::spawn_blocking(run).await.map_err(|error| internal(&error))
    }
}

fn late(duration_max: Duration) -> Rejection {
    let text = format!("execution aborted: the call took more than {duration_max:?}, which is all that one may take");
    Rejection::new(Reason::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::future::pending;
    use std::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_end_is_told_the_time_it_had() {
        let refusal = Calls::new(CALL_DURATION_MAX).within(pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::TimedOut);
        assert!(refusal.message.contains("more than 5s"), "{refusal}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_too_many_is_told_how_many_there_are() {
        let calls = Calls::new(CALL_DURATION_MAX);
        let ended = join_all((0..=CALLS_COUNT_MAX).map(|_| calls.within(pending::<Result<(), _>>()))).await;
        let full: Vec<_> =
            ended.into_iter().filter_map(Result::err).filter(|error| error.reason == Reason::Busy).collect();
        assert_eq!(full.len(), 1);
        assert!(full[0].message.contains("128 calls"), "{}", full[0]);
        assert!(calls.within(async { Ok(()) }).await.is_ok(), "places are free again");
    }

    #[tokio::test]
    async fn a_run_whose_client_has_gone_keeps_its_turn_until_it_ends() {
        let calls =
            Calls { places: Semaphore::new(1), turns: Arc::new(Semaphore::new(1)), duration_max: CALL_DURATION_MAX };
        let (end, ended) = mpsc::channel::<()>();
        let abandoned = timeout(Duration::from_millis(1), calls.run(move || ended.recv())).await;
        assert!(abandoned.is_err());
        assert_eq!(calls.turns.available_permits(), 0);
        drop(end);
        assert_eq!(calls.run(|| 7).await.unwrap(), 7, "the next has its turn when it ended");
    }
}
