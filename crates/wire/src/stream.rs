//! Long-lived server streams: pulled from a cursor, so that a reader who never reads costs a cursor and no memory.
//!
//! A stream ends at a drain, at [`STREAM_AGE_MAX`], or when its source says so; its reader resumes where it stopped.

use crate::limits::STREAM_AGE_MAX;
use crate::rejection::{Reason, Rejection};
use futures_util::stream::{Stream, unfold};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tonic::Status;

/// A server stream of `T`.
pub(crate) type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Tells streams that the server drains.
#[derive(Debug, Clone)]
pub(crate) struct Drain(watch::Receiver<bool>);

impl Drain {
    pub(crate) fn new(draining: watch::Receiver<bool>) -> Self {
        Self(draining)
    }

    /// Waits until the server drains or is gone.
    async fn begun(&mut self) {
        // An error means that the server is gone: that too is an end.
        let _ = self.0.wait_for(|draining| *draining).await;
    }
}

/// What one pull gives.
#[derive(Debug)]
pub(crate) enum Pulled<C, T> {
    /// The next items, and the cursor after them.
    Items(Vec<T>, C),
    /// The last items there will be.
    Last(Vec<T>),
}

/// A place for one more long-lived stream among the bounded number of them.
pub(crate) fn admit(watchers: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Rejection> {
    let busy = |_| Rejection::new(Reason::Busy, "too many streams are open on this server; ask again later");
    Arc::clone(watchers).try_acquire_owned().map_err(busy)
}

struct State<C, T, P> {
    cursor: Option<C>,
    ready: VecDeque<T>,
    pull: P,
    drain: Drain,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

/// The stream that `pull` gives from `cursor` on. `pull` waits until it has something; nothing is pulled ahead of the
/// reader.
pub(crate) fn pulled<C, T, P, F>(cursor: C, permit: OwnedSemaphorePermit, drain: Drain, pull: P) -> Items<T>
where
    C: Send + 'static,
    T: Send + 'static,
    P: FnMut(C) -> F + Send + 'static,
    F: Future<Output = Result<Pulled<C, T>, Rejection>> + Send,
{
    let until = Instant::now() + STREAM_AGE_MAX;
    let state = State { cursor: Some(cursor), ready: VecDeque::new(), pull, drain, until, _permit: permit };
    Box::pin(unfold(state, |mut state| async move {
        let item = next(&mut state).await?;
        if item.is_err() {
            state.cursor = None;
        }
        Some((item.map_err(Status::from), state))
    }))
}

async fn next<C, T, P, F>(state: &mut State<C, T, P>) -> Option<Result<T, Rejection>>
where
    P: FnMut(C) -> F,
    F: Future<Output = Result<Pulled<C, T>, Rejection>>,
{
    loop {
        if let Some(item) = state.ready.pop_front() {
            return Some(Ok(item));
        }
        let cursor = state.cursor.take()?;
        let pulled = tokio::select! {
            biased;
            () = state.drain.begun() => return None,
            () = tokio::time::sleep_until(state.until) => return None,
            pulled = (state.pull)(cursor) => pulled,
        };
        match pulled {
            Ok(Pulled::Items(items, cursor)) => {
                state.ready.extend(items);
                state.cursor = Some(cursor);
            }
            Ok(Pulled::Last(items)) => state.ready.extend(items),
            Err(rejection) => return Some(Err(rejection)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn permit() -> OwnedSemaphorePermit {
        admit(&Arc::new(Semaphore::new(1))).unwrap()
    }

    #[tokio::test]
    async fn nothing_is_pulled_ahead_of_the_reader() {
        let (_draining, drain) = watch::channel(false);
        let pulls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&pulls);
        let mut items = pulled(0_u32, permit(), Drain::new(drain), move |cursor| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(Pulled::Items(vec![cursor, cursor + 1], cursor + 2)) }
        });
        for expected in 0..4 {
            assert_eq!(items.next().await.unwrap().unwrap(), expected);
        }
        assert_eq!(pulls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_drain_ends_a_stream_that_waits() {
        let (draining, drain) = watch::channel(false);
        let wait = |()| std::future::pending::<Result<Pulled<(), u32>, Rejection>>();
        let mut items = pulled((), permit(), Drain::new(drain), wait);
        draining.send_replace(true);
        assert!(items.next().await.is_none());
    }

    #[tokio::test]
    async fn a_refusal_is_the_last_item() {
        let (_draining, drain) = watch::channel(false);
        let refuse = |()| async { Err::<Pulled<(), u32>, _>(Rejection::new(Reason::NotFound, "gone")) };
        let mut items = pulled((), permit(), Drain::new(drain), refuse);
        assert!(items.next().await.unwrap().is_err());
        assert!(items.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_stream_ends() {
        let (_draining, drain) = watch::channel(false);
        let wait = |()| std::future::pending::<Result<Pulled<(), u32>, Rejection>>();
        assert!(pulled((), permit(), Drain::new(drain), wait).next().await.is_none());
    }

    #[test]
    fn one_stream_too_many_is_refused() {
        let watchers = Arc::new(Semaphore::new(1));
        let held = admit(&watchers).unwrap();
        assert_eq!(admit(&watchers).unwrap_err().reason, Reason::Busy);
        drop(held);
        assert!(admit(&watchers).is_ok());
    }
}
