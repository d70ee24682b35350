//! What a client may have in work and unread: before each call and batch, and after it.
//!
//! ```text
//! call -> not too much unread, not too many in work -> a turn, if it is heavy -> the method, within a deadline
//!      -> its answer counts as unread until it has left
//! ```
//!
//! Promise (I19): a client that asks and never reads is refused, then cut off; it costs bytes up to a bound and no more.

use super::error::{LIMIT_CODE, UNAVAILABLE_CODE, error};
use super::heavy::Heavy;
use crate::limits::{JSONRPC_CALL_TIMEOUT, JSONRPC_CALLS_PER_CONNECTION_COUNT_MAX, UNREAD_BYTES_MAX};
use crate::server::{Dismissal, InWork, Seat, refusal};
use http::Extensions;
use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::{ErrorObjectOwned, Id, Request};
use std::future::Future;
use std::sync::Arc;
use tokio::time::timeout;
use tower::Layer;

/// Puts the meter before a JSON-RPC service.
#[derive(Debug, Clone)]
pub(super) struct MeterLayer(pub(super) Heavy);

impl<S> Layer<S> for MeterLayer {
    type Service = Metered<S>;

    fn layer(&self, service: S) -> Metered<S> {
        Metered { service, heavy: self.0.clone() }
    }
}

/// A JSON-RPC service behind the meter.
#[derive(Debug, Clone)]
pub(super) struct Metered<S> {
    service: S,
    heavy: Heavy,
}

impl<S> RpcServiceT for Metered<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (service, seat, id) = (self.service.clone(), seat(request.extensions()), request.id.clone().into_owned());
        let heavy = Heavy::is(request.method_name()).then(|| self.heavy.clone());
        metered(seat, heavy, id, async move { service.call(request).await })
    }

    fn batch<'a>(&self, mut batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (service, seat) = (self.service.clone(), seat(batch.extensions()));
        let is_heavy = batch.iter().flatten().any(|entry| Heavy::is(entry.method_name()));
        let heavy = is_heavy.then(|| self.heavy.clone());
        metered(seat, heavy, Id::Null, async move { service.batch(batch).await })
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.service.notification(notification)
    }
}

fn seat(extensions: &Extensions) -> Option<Arc<Seat>> {
    extensions.get::<Arc<Seat>>().cloned()
}

async fn metered(
    seat: Option<Arc<Seat>>,
    heavy: Option<Heavy>,
    id: Id<'static>,
    call: impl Future<Output = MethodResponse> + Send,
) -> MethodResponse {
    let answer = async {
        let in_work = seat.as_ref().map(admit).transpose()?;
        let turn = match &heavy {
            Some(heavy) => Some(heavy.turn().await?),
            None => None,
        };
        // What was answered while this waited for its turn may be unread.
        seat.as_ref().filter(|_| turn.is_some()).map_or(Ok(()), |seat| check_unread(seat))?;
        let response = call.await;
        if let Some(in_work) = &in_work {
            count(in_work.seat(), response.as_json().get().len());
        }
        Ok::<_, ErrorObjectOwned>(response)
    };
    match timeout(JSONRPC_CALL_TIMEOUT, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => MethodResponse::error(id, error),
        Err(_) => MethodResponse::error(id, late()),
    }
}

fn check_unread(seat: &Seat) -> Result<(), ErrorObjectOwned> {
    let refusal = refusal(seat.unread_bytes());
    refusal.map_or(Ok(()), |rejection| Err(error(LIMIT_CODE, rejection.message)))
}

/// Takes one more call of a connection, or says why not.
fn admit(seat: &Arc<Seat>) -> Result<InWork, ErrorObjectOwned> {
    check_unread(seat)?;
    // An HTTP request is in work itself, and asks one thing at a time.
    if seat.is_standing() && seat.calls_count() >= JSONRPC_CALLS_PER_CONNECTION_COUNT_MAX {
        let text = format!(
            "{JSONRPC_CALLS_PER_CONNECTION_COUNT_MAX} calls of this connection are in work: wait for an answer"
        );
        return Err(error(LIMIT_CODE, text));
    }
    Ok(seat.begin())
}

/// Counts bytes for a WebSocket client to read; what HTTP answers is counted with its body.
pub(super) fn count(seat: &Seat, bytes: usize) {
    if seat.is_standing() {
        seat.add_unread(bytes);
    }
}

/// Whether a subscription may send its connection more; one whose client leaves too much unread is sent away.
pub(super) fn keeps_up(seat: &Seat) -> bool {
    let keeps_up = seat.unread_bytes() <= UNREAD_BYTES_MAX;
    if !keeps_up {
        seat.dismiss(Dismissal::Unread);
    }
    keeps_up
}

fn late() -> ErrorObjectOwned {
    error(UNAVAILABLE_CODE, format!("the call took more than {JSONRPC_CALL_TIMEOUT:?}, which is all that one may take"))
}
