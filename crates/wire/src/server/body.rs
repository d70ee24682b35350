//! The bodies of HTTP messages under watch: a request that must come in time, an answer that is in work until it is read.

use super::seats::InWork;
use crate::limits::BODY_TIMEOUT;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Sleep, sleep};

type BoxError = Box<dyn Error + Send + Sync>;

/// A request's body that has to be there, whole, within [`BODY_TIMEOUT`].
#[derive(Debug)]
pub(super) struct Patient<B> {
    body: B,
    until: Pin<Box<Sleep>>,
}

/// A request's body did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request's body did not come within {BODY_TIMEOUT:?}")]
pub(super) struct BodyLate;

impl<B> Patient<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, until: Box::pin(sleep(BODY_TIMEOUT)) }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for Patient<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.until.as_mut().poll(context).map(|()| Some(Err(BodyLate.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: its call is in work, and its bytes are unread, until they have left.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    in_work: Option<InWork>,
}

impl<B> Counted<B> {
    /// The body of the answer to the call `in_work`; none for a connection without a seat.
    pub(super) fn new(body: B, in_work: Option<InWork>) -> Self {
        Self { body, in_work }
    }
}

impl<B: Default> Default for Counted<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let (Poll::Ready(Some(Ok(frame))), Some(in_work)) = (&polled, &self.in_work)
            && let Some(data) = frame.data_ref()
        {
            in_work.seat().add_unread(data.remaining());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
