//! A copy of every call that may change something, and all of them again later: what whoever sits on the wire can do.
//!
//! An HTTP/2 proxy in front of each shard. It takes a call's body whole, keeps it, and hands the call on; the answer flows
//! back as it comes. Knows a call's path and nothing of gRPC beyond: what it replays is what it saw, byte for byte.

use eyre::{Result, WrapErr, ensure, eyre};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use primitives::ShardId;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The methods that may change something at a shard.
const METHODS: [&str; 5] = [
    "/dovetail.v1.ParticipantService/Prepare",
    "/dovetail.v1.ParticipantService/RequestAbort",
    "/dovetail.v1.ParticipantService/Decide",
    "/dovetail.v1.ShardService/SubmitLocal",
    "/dovetail.v1.ShardService/Deliver",
];

/// A call as it was seen.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whom it was for.
    pub shard: ShardId,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

type Calls = Arc<Mutex<Vec<Call>>>;
/// Hands calls to a shard.
pub(crate) type Sender = client::SendRequest<Full<Bytes>>;

/// Proxies in front of all shards.
#[derive(Debug)]
pub struct Recorder {
    addresses: BTreeMap<ShardId, SocketAddr>,
    calls: Calls,
}

impl Recorder {
    /// A proxy for each of these shards.
    pub async fn open(shards: &BTreeMap<ShardId, SocketAddr>) -> Result<Self> {
        let calls = Calls::default();
        let mut addresses = BTreeMap::new();
        for (shard, target) in shards {
            let listener = TcpListener::bind("127.0.0.1:0").await.wrap_err("no free port for a recorder")?;
            addresses.insert(*shard, listener.local_addr()?);
            tokio::spawn(serve(listener, *shard, *target, Arc::clone(&calls)));
        }
        Ok(Self { addresses, calls })
    }

    /// Where the proxy of `shard` listens.
    pub fn address(&self, shard: ShardId) -> Option<SocketAddr> {
        self.addresses.get(&shard).copied()
    }

    /// What was seen so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, shard: ShardId, target: SocketAddr, calls: Calls) {
    while let Ok((near, _)) = listener.accept().await {
        let Ok((sender, far)) = connect(target).await else { continue };
        let calls = Arc::clone(&calls);
        let service = service_fn(move |request| forward(shard, request, sender.clone(), Arc::clone(&calls)));
        let near = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(near), service);
        // Either end closes both: whoever called a shard that died has to connect anew.
        tokio::spawn(async move {
            tokio::select! {
                _ = near => {}
                _ = far => {}
            }
        });
    }
}

/// A connection to a shard, and what ends with it.
pub(crate) async fn connect(target: SocketAddr) -> Result<(Sender, JoinHandle<Result<(), hyper::Error>>)> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    Ok((sender, tokio::spawn(connection)))
}

type Answer = Response<Either<Incoming, Empty<Bytes>>>;

async fn forward(
    shard: ShardId,
    request: Request<Incoming>,
    sender: Sender,
    calls: Calls,
) -> Result<Answer, Infallible> {
    let answer = hand_on(shard, request, sender, calls).await.map(|answer| answer.map(Either::Left));
    Ok(answer.unwrap_or_else(|_| {
        let mut unavailable = Response::new(Either::Right(Empty::new()));
        *unavailable.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        unavailable
    }))
}

async fn hand_on(
    shard: ShardId,
    request: Request<Incoming>,
    mut sender: Sender,
    calls: Calls,
) -> Result<Response<Incoming>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if METHODS.contains(&parts.uri.path()) {
        let (path, headers) = (parts.uri.path().to_owned(), parts.headers.clone());
        let call = Call { shard, path, headers, body: body.clone() };
        calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
    sender.ready().await?;
    Ok(sender.send_request(Request::from_parts(parts, Full::new(body))).await?)
}

/// Makes the calls again, in their order, at the shards themselves; how many were answered.
pub async fn replay(calls: &[Call], shards: &BTreeMap<ShardId, SocketAddr>) -> Result<usize> {
    let mut senders = BTreeMap::new();
    for (shard, target) in shards {
        senders.insert(*shard, (*target, connect(*target).await?.0));
    }
    let mut answered = 0;
    for call in calls {
        let (target, sender) =
            senders.get_mut(&call.shard).ok_or_else(|| eyre!("shard {} is not in the network", call.shard))?;
        let mut request = Request::post(format!("http://{target}{}", call.path)).body(Full::new(call.body.clone()))?;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().remove(header::CONTENT_LENGTH);
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == StatusCode::OK, "{} was answered with {}", call.path, answer.status());
        answer.into_body().collect().await?;
        answered += 1;
    }
    Ok(answered)
}
