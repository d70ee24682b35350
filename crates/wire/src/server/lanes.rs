//! Who may be in work at once: new work up to a bound, the rest of it shed; what ends work waits in a lane of its own.
//!
//! ```text
//!   call ──> of UNDER_WAY? ── no ──> a seat of CALLS_COUNT_MAX, or RESOURCE_EXHAUSTED at once
//!                └── yes ──────────> waits for a seat of DECISIONS_IN_WORK_COUNT_MAX
//! ```
//!
//! Promise: overload does not feed itself. A decision frees the locks that make others fail and come again, so it is never
//! shed; how many wait is bounded by connections and their streams.

use crate::limits::{CALLS_COUNT_MAX, DECISIONS_IN_WORK_COUNT_MAX};
use crate::rejection::{Reason, Rejection};
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tower::{Layer, Service};

/// Calls that end work which others have begun.
pub(super) const UNDER_WAY: [&str; 1] = ["/dovetail.v1.ParticipantService/Decide"];

/// Puts the lanes before a service; all services of one layer share them.
#[derive(Debug, Clone)]
pub(super) struct LanesLayer {
    new: Arc<Semaphore>,
    under_way: Arc<Semaphore>,
}

impl LanesLayer {
    pub(super) fn new() -> Self {
        let seats = |count| Arc::new(Semaphore::new(count));
        Self { new: seats(CALLS_COUNT_MAX), under_way: seats(DECISIONS_IN_WORK_COUNT_MAX) }
    }
}

impl<S> Layer<S> for LanesLayer {
    type Service = Lanes<S>;

    fn layer(&self, inner: S) -> Lanes<S> {
        Lanes { inner, layer: self.clone() }
    }
}

/// A service behind its lanes.
#[derive(Debug, Clone)]
pub(super) struct Lanes<S> {
    inner: S,
    layer: LanesLayer,
}

impl LanesLayer {
    /// A seat for a call of this path. None if there is none for new work, or if the server is gone.
    async fn seat(&self, path: &str) -> Option<OwnedSemaphorePermit> {
        if UNDER_WAY.contains(&path) {
            Arc::clone(&self.under_way).acquire_owned().await.ok()
        } else {
            Arc::clone(&self.new).try_acquire_owned().ok()
        }
    }
}

impl<S, B, R> Service<Request<B>> for Lanes<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready answers; a clone waits for the next call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let Some(_seat) = layer.seat(request.uri().path()).await else {
                let text = format!("{CALLS_COUNT_MAX} calls are in work: try again");
                return Ok(Status::from(Rejection::new(Reason::Busy, text)).into_http());
            };
            inner.call(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_server_sheds_new_work_and_no_decision() {
        let lanes = LanesLayer::new();
        let (new, decide) = ("/dovetail.v1.ParticipantService/Prepare", UNDER_WAY[0]);
        let mut held = Vec::new();
        for _ in 0..CALLS_COUNT_MAX {
            held.push(lanes.seat(new).await.unwrap());
        }
        assert!(lanes.seat(new).await.is_none());
        for _ in 0..DECISIONS_IN_WORK_COUNT_MAX {
            held.push(lanes.seat(decide).await.unwrap());
        }
        let waiting = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.seat(decide).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "it waits, and is not refused");
        held.pop();
        assert!(waiting.await.unwrap());
    }
}
