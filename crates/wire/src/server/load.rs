//! What a connection's calls weigh: each is in work until its answer is read, and who leaves too much unread is refused.

use super::auth;
use super::body::Counted;
use crate::limits::UNREAD_BYTES_MAX;
use crate::rejection::{Reason, Rejection};
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tower::{Layer, Service};

/// Puts the count of a connection's calls and bytes before a gRPC service.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadLayer;

impl<S> Layer<S> for LoadLayer {
    type Service = Loaded<S>;

    fn layer(&self, inner: S) -> Loaded<S> {
        Loaded(inner)
    }
}

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub(super) struct Loaded<S>(S);

impl<S, B, R> Service<Request<B>> for Loaded<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static>,
    R: Default,
{
    type Response = Response<Counted<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let seat = auth::of(&request).map(|peer| peer.seat.clone());
        if let Some(rejection) = seat.as_ref().and_then(|seat| refusal(seat.unread_bytes())) {
            return Box::pin(async move { Ok(Status::from(rejection).into_http()) });
        }
        let in_work = seat.map(|seat| seat.begin());
        let answer = self.0.call(request);
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
