//! A call that is traced is a span of each trace that it is part of.

use crate::traces::{Side, TRACEPARENT, Tracer, received};
use futures_util::future::Either;
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Puts a tracer before a service.
#[derive(Debug, Clone)]
pub(super) struct TracedLayer(pub(super) Tracer);

impl<S> Layer<S> for TracedLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, tracer: self.0.clone() }
    }
}

/// A service whose calls are traced.
#[derive(Debug, Clone)]
pub(super) struct Traced<S> {
    inner: S,
    tracer: Tracer,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B, R> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Boxed<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.tracer.is_on() || !request.headers().contains_key(TRACEPARENT) {
            return Either::Left(self.inner.call(request));
        }
        let above = received(request.headers());
        let name = request.uri().path().trim_start_matches("/dovetail.v1.").to_owned();
        let (tracer, answer) = (self.tracer.clone(), self.inner.call(request));
        Either::Right(Box::pin(async move {
            let answered = async {
                let answer = answer.await;
                tracing::info!(method = name, "a traced call was answered");
                answer
            };
            tracer.follow(Side::Server, &name, &above, answered).await
        }))
    }
}
