//! What a connection's calls weigh: each is in work until its answer is read, and who leaves too much unread is refused.

use super::auth;
use super::body::Counted;
use crate::limits::UNREAD_BYTES_MAX;
use crate::rejection::{Reason, Rejection};
use http::{Request, Response};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tower::{Layer, Service};

/// What is done at each call, before it is looked at: a count, for who measures.
#[derive(Clone)]
pub(super) struct AtCall(pub(super) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for AtCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtCall")
    }
}

/// Puts the count of a connection's calls and bytes before a gRPC service.
#[derive(Debug, Clone)]
pub(super) struct LoadLayer(pub(super) AtCall);

impl<S> Layer<S> for LoadLayer {
    type Service = Loaded<S>;

    fn layer(&self, inner: S) -> Loaded<S> {
        Loaded { inner, at_call: self.0.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub(super) struct Loaded<S> {
    inner: S,
    at_call: AtCall,
}

impl<S, B, R> Service<Request<B>> for Loaded<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static>,
    R: Default,
{
    type Response = Response<Counted<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        (self.at_call.0)();
        let seat = auth::of(&request).map(|peer| peer.seat.clone());
        if let Some(rejection) = seat.as_ref().and_then(|seat| refusal(seat.unread_bytes())) {
            return Box::pin(async move { Ok(Status::from(rejection).into_http()) });
        }
        let in_work = seat.map(|seat| seat.begin());
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Counted::new(body, in_work))) })
    }
}

/// Why a call is not taken from a connection with so many bytes unread.
pub(crate) fn refusal(unread_bytes: usize) -> Option<Rejection> {
    (unread_bytes > UNREAD_BYTES_MAX).then(|| {
        let text = format!(
            "this connection has left {unread_bytes} bytes of answers unread, {UNREAD_BYTES_MAX} are allowed: read them"
        );
        Rejection::new(Reason::Busy, text)
    })
}
