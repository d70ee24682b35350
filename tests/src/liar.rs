//! What sits between a node and a shard and tells of the shard's log what is not so.
//!
//! An HTTP/2 proxy: every call is handed on as it is, and the answers to one method are changed while there is a lie to tell.
//! It has no validator's key, and so cannot certify what it makes up.

use crate::recorder::{Sender, connect};
use eyre::{Result, WrapErr};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use primitives::ShardId;
use prost::Message;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use wire::proto::v1::TellLogResponse;

/// The method whose answers are changed.
const METHOD: &str = "/dovetail.v1.ShardService/TellLog";

/// What gRPC puts before a message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

/// Changes a page, or leaves it as it is; says which.
pub type Lie = fn(&mut TellLogResponse) -> bool;

#[derive(Debug, Default)]
struct Told {
    lie: Mutex<Option<Lie>>,
    lies_count: AtomicU64,
}

/// Liars in front of all shards.
#[derive(Debug)]
pub struct Liars {
    addresses: BTreeMap<ShardId, SocketAddr>,
    told: Arc<Told>,
}

impl Liars {
    /// One in front of each of these shards; they tell the truth at first.
    pub async fn open(shards: &BTreeMap<ShardId, SocketAddr>) -> Result<Self> {
        let (told, mut addresses) = (Arc::<Told>::default(), BTreeMap::new());
        for (shard, target) in shards {
            let listener = TcpListener::bind("127.0.0.1:0").await.wrap_err("no free port for a liar")?;
            addresses.insert(*shard, listener.local_addr()?);
            tokio::spawn(serve(listener, *target, Arc::clone(&told)));
        }
        Ok(Self { addresses, told })
    }

    /// Where each listens.
    pub fn addresses(&self) -> impl Iterator<Item = (ShardId, SocketAddr)> {
        self.addresses.iter().map(|(shard, address)| (*shard, *address))
    }

    /// Has all of them tell this from now on, or the truth.
    pub fn tell(&self, lie: Option<Lie>) {
        *self.told.lie.lock().unwrap_or_else(PoisonError::into_inner) = lie;
    }

    /// How many pages were changed.
    pub fn lies_count(&self) -> u64 {
        self.told.lies_count.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, told: Arc<Told>) {
    while let Ok((near, _)) = listener.accept().await {
        let Ok((sender, far)) = connect(target).await else { continue };
        let told = Arc::clone(&told);
        let service = service_fn(move |request| answer(request, sender.clone(), Arc::clone(&told)));
        let near = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(near), service);
        tokio::spawn(async move {
            tokio::select! {
                _ = near => {}
                _ = far => {}
            }
        });
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

async fn answer(request: Request<Incoming>, sender: Sender, told: Arc<Told>) -> Result<Answer, Infallible> {
    Ok(hand_on(request, sender, &told).await.unwrap_or_else(|_| {
        let mut unavailable = Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync());
        *unavailable.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        unavailable
    }))
}

async fn hand_on(request: Request<Incoming>, mut sender: Sender, told: &Told) -> Result<Answer> {
    let (parts, body) = request.into_parts();
    let is_log = parts.uri.path() == METHOD;
    let body = Full::new(body.collect().await?.to_bytes());
    sender.ready().await?;
    let answer = sender.send_request(Request::from_parts(parts, body)).await?;
    let lie = *told.lie.lock().unwrap_or_else(PoisonError::into_inner);
    match lie {
        Some(lie) if is_log => changed(answer, lie, told).await,
        _ => Ok(answer.map(BodyExt::boxed_unsync)),
    }
}

async fn changed(answer: Response<Incoming>, lie: Lie, told: &Told) -> Result<Answer> {
    let (mut parts, body) = answer.into_parts();
    let collected = body.collect().await?;
    let (trailers, bytes) = (collected.trailers().cloned(), collected.to_bytes());
    let body = match lied(&bytes, lie) {
        Some(bytes) => {
            told.lies_count.fetch_add(1, Ordering::Relaxed);
            bytes
        }
        None => bytes,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = Full::new(body).with_trailers(async move { trailers.map(Ok) });
    Ok(Response::from_parts(parts, body.map_err(|never: Infallible| match never {}).boxed_unsync()))
}

/// The message changed, in its frame; none where the lie leaves it, or it is none.
fn lied(bytes: &Bytes, lie: Lie) -> Option<Bytes> {
    let mut page = TellLogResponse::decode(bytes.get(FRAME_BYTES..)?).ok()?;
    if !lie(&mut page) {
        return None;
    }
    let message = page.encode_to_vec();
    let length = u32::try_from(message.len()).ok()?;
    Some([&[0][..], &length.to_be_bytes(), &message].concat().into())
}
