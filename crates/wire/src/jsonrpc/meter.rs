//! What a client may have in work and unread: before each call and batch, and after it.
//!
//! ```text
//! call -> not too much unread, not too many in work -> a turn, if it is heavy -> its client's quota -> a place of its client's
//!      share, if it runs code -> the method, within a deadline -> its answer counts as unread until it has left
//! ```
//!
//! A batch is one call with one turn; a bounded number of its calls are in work at once, heavy ones one after the other.
//!
//! Promise (I19): a client that asks and never reads is refused, then cut off; it costs bytes up to a bound and no more.

use super::error::{LIMIT_CODE, UNAVAILABLE_CODE, error};
use super::heavy::Heavy;
use super::shares::Shares;
use crate::limits::{
    JSONRPC_BATCH_AT_ONCE_COUNT_MAX, JSONRPC_CALL_TIMEOUT, JSONRPC_CALLS_PER_CONNECTION_COUNT_MAX,
    JSONRPC_RESPONSE_BYTES_MAX, UNREAD_BYTES_MAX,
};
use crate::quota::Buckets;
use crate::server::{Client, Dismissal, InWork, Seat, refusal};
use futures_util::future::BoxFuture;
use futures_util::stream::iter;
use futures_util::{FutureExt, StreamExt};
use http::Extensions;
use jsonrpsee::core::middleware::{Batch, BatchEntry, BatchEntryErr, Notification, RpcServiceT};
use jsonrpsee::core::server::BatchResponseBuilder;
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::error::METHOD_NOT_FOUND_CODE;
use jsonrpsee::types::{ErrorObjectOwned, Id, Request};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tower::Layer;

/// Puts the meter before a JSON-RPC service.
#[derive(Debug, Clone)]
pub(super) struct MeterLayer(pub(super) Heavy, pub(super) Shares, pub(super) Buckets<Client>);

impl<S> Layer<S> for MeterLayer {
    type Service = Metered<S>;

    fn layer(&self, service: S) -> Metered<S> {
        Metered { service, heavy: self.0.clone(), shares: self.1.clone(), buckets: self.2.clone() }
    }
}

/// A JSON-RPC service behind the meter.
#[derive(Debug, Clone)]
pub(super) struct Metered<S> {
    service: S,
    heavy: Heavy,
    shares: Shares,
    buckets: Buckets<Client>,
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
        let (seat, id) = (seat(request.extensions()), request.id.clone().into_owned());
        let heavy = Heavy::is(request.method_name()).then(|| self.heavy.clone());
        metered(seat, heavy, id, answered(self.service.clone(), self.bounds(), request))
    }

    fn batch<'a>(&self, mut batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let seat = seat(batch.extensions());
        let is_heavy = batch.iter().flatten().any(|entry| Heavy::is(entry.method_name()));
        let heavy = is_heavy.then(|| self.heavy.clone());
        metered(seat, heavy, Id::Null, all_answered(self.service.clone(), self.bounds(), batch))
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let call = called(notification).map(|request| self.call(request));
        async move {
            if let Some(call) = call {
                call.await;
            }
            MethodResponse::notification()
        }
    }
}

/// What a notification asks for: it is carried out, and nobody hears how it went. A subscription is for who can be told of it.
fn called(notification: Notification<'_>) -> Option<Request<'_>> {
    let Notification { jsonrpc, method, params, extensions } = notification;
    let is_of_subscriptions = is_of_subscriptions(&method);
    (!is_of_subscriptions).then_some(Request { jsonrpc, id: Id::Null, method, params, extensions })
}

fn is_of_subscriptions(method: &str) -> bool {
    matches!(method, "eth_subscribe" | "eth_unsubscribe")
}

/// What one client may ask for.
#[derive(Debug, Clone)]
struct Bounds {
    shares: Shares,
    buckets: Buckets<Client>,
}

impl<S> Metered<S> {
    fn bounds(&self) -> Bounds {
        Bounds { shares: self.shares.clone(), buckets: self.buckets.clone() }
    }
}

/// Answers one call, within its client's quota and share.
async fn answered<S>(service: S, bounds: Bounds, request: Request<'_>) -> MethodResponse
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync,
{
    if let Some(error) = unnotified(&request) {
        return MethodResponse::error(request.id, error);
    }
    if let Err(over) = bounds.buckets.take(&client(request.extensions())) {
        return MethodResponse::error(request.id, error(LIMIT_CODE, over.to_string()));
    }
    if !Shares::is(request.method_name()) {
        return service.call(request).await;
    }
    match bounds.shares.take(client(request.extensions())).await {
        Ok(_share) => service.call(request).await,
        Err(error) => MethodResponse::error(request.id, error),
    }
}

/// Why a subscription cannot be: there is nothing to tell it by.
fn unnotified(request: &Request<'_>) -> Option<ErrorObjectOwned> {
    let is_told_by_nothing = seat(request.extensions()).is_some_and(|seat| !seat.is_standing());
    (is_of_subscriptions(request.method_name()) && is_told_by_nothing)
        .then(|| error(METHOD_NOT_FOUND_CODE, "notifications not supported"))
}

/// Answers the calls of a batch, in its order, [`JSONRPC_BATCH_AT_ONCE_COUNT_MAX`] of them in work at once.
async fn all_answered<'a, S>(service: S, bounds: Bounds, batch: Batch<'a>) -> MethodResponse
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'a,
{
    // The batch has one turn for all its heavy calls.
    let heavy_line = Arc::new(Mutex::new(()));
    let mut entries: Vec<BoxFuture<'a, Option<MethodResponse>>> = Vec::with_capacity(batch.len());
    for entry in batch {
        entries.push(entry_answered(service.clone(), bounds.clone(), Arc::clone(&heavy_line), entry).boxed());
    }
    let mut answers = iter(entries).buffered(JSONRPC_BATCH_AT_ONCE_COUNT_MAX);
    let mut told = BatchResponseBuilder::new_with_limit(JSONRPC_RESPONSE_BYTES_MAX as usize);
    let mut has_notified = false;
    while let Some(answer) = answers.next().await {
        match answer.map(|answer| told.append(answer)) {
            None => has_notified = true,
            Some(Err(too_large)) => return too_large,
            Some(Ok(())) => {}
        }
    }
    if told.is_empty() && has_notified {
        return MethodResponse::notification();
    }
    MethodResponse::from_batch(told.finish())
}

/// The answer to one entry of a batch; none to a notification.
async fn entry_answered<'a, S>(
    service: S,
    bounds: Bounds,
    heavy_line: Arc<Mutex<()>>,
    entry: Result<BatchEntry<'a>, BatchEntryErr<'a>>,
) -> Option<MethodResponse>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync + 'a,
{
    match entry {
        Ok(BatchEntry::Call(request)) => Some(in_line(service, bounds, heavy_line, request).await),
        Ok(BatchEntry::Notification(notification)) => {
            if let Some(request) = called(notification) {
                in_line(service, bounds, heavy_line, request).await;
            }
            None
        }
        Err(error) => {
            let (error, id) = error.into_parts();
            Some(MethodResponse::error(id, error))
        }
    }
}

/// Answers one call of a batch; a heavy one after those before it.
async fn in_line<S>(service: S, bounds: Bounds, heavy_line: Arc<Mutex<()>>, request: Request<'_>) -> MethodResponse
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Send + Sync,
{
    let _turn = if Heavy::is(request.method_name()) { Some(heavy_line.lock().await) } else { None };
    answered(service, bounds, request).await
}

fn client(extensions: &Extensions) -> Client {
    extensions.get::<Client>().copied().unwrap_or(Client::LOCAL)
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
