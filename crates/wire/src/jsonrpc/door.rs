//! The way in: JSON-RPC by POST, `WebSocket`s, and what balancers and operators ask by GET.
//!
//! ```text
//! GET /health -> whether the node takes work      GET /, HEAD / -> that something listens
//! GET in a site's folder -> the site
//! upgrade     -> a WebSocket                      POST          -> JSON-RPC, ids given back as they came
//! ```
//!
//! Who asks is told here, once for all that bounds each client: the connection's address, or what a trusted proxy says.

use super::chain::{Chain, Readiness};
use super::error::LIMIT_CODE;
use super::ids::{self, Body, Ids};
use super::meter::MeterLayer;
use super::site::{self, Site};
use crate::limits::{JSONRPC_REQUEST_BYTES_MAX, JSONRPC_RESPONSE_BYTES_MAX};
use crate::quota::{Buckets, OverQuota};
use crate::server::{Client, FromAddress, HttpRequest, Proxies, Seat};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use jsonrpsee::Methods;
use jsonrpsee::server::http::response::{malformed, ok_response, too_large};
use jsonrpsee::server::{HttpBody, HttpResponse, StopHandle, TowerServiceBuilder, ws};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;
use tower::layer::util::{Identity, Stack};
use tower_http::cors::CorsLayer;

/// The answer to JSON that is no request.
const NO_REQUEST: &str = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request"}}"#;

/// What notifications alone come to.
const UNANSWERED: &str = "null";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What answers whether a node takes work.
#[derive(Clone)]
pub(super) struct Ready(Arc<dyn Fn() -> Readiness + Send + Sync>);

impl Ready {
    /// What `chain` says.
    pub(super) fn of<C: Chain>(chain: Arc<C>) -> Self {
        Self(Arc::new(move || chain.readiness()))
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ready").field(&(self.0)()).finish()
    }
}

/// Answers the requests of all connections, and remembers which of them are `WebSockets`.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) builder: TowerServiceBuilder<Stack<MeterLayer, Identity>, Stack<CorsLayer, Identity>>,
    pub(super) methods: Methods,
    pub(super) stop: StopHandle,
    pub(super) readiness: Ready,
    pub(super) proxies: Arc<Proxies>,
    pub(super) site: Option<Arc<dyn Site>>,
    pub(super) buckets: Buckets<Client>,
}

impl Service<HttpRequest> for Door {
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: HttpRequest) -> Self::Future {
        if let Some(FromAddress(peer)) = request.extensions().get().copied() {
            let client = self.proxies.client(peer, request.headers());
            request.extensions_mut().insert(client);
            if *request.method() == Method::POST
                && let Err(over) = self.buckets.look(&client)
            {
                return Box::pin(async move { Ok(over_quota(&over)) });
            }
        }
        let mut builder = self.builder.clone();
        let is_upgrade = ws::is_upgrade_request(&request);
        if let Some(seat) = request.extensions().get::<Arc<Seat>>() {
            // Subscriptions are known by their connection's number too.
            builder = builder.connection_id(seat.number() as u32);
            if is_upgrade {
                seat.stand();
            }
        }
        if !is_upgrade && matches!(*request.method(), Method::GET | Method::HEAD) {
            let (look, method) = (site::look(&request), request.method().clone());
            let site = self.site.clone().filter(|site| site::is_in(site.folder(), &look.path));
            let otherwise = self.looked_at(&look.path);
            return Box::pin(async move {
                let Some(site) = site else { return Ok(otherwise) };
                Ok(site::ask(site, look, method).await.unwrap_or(otherwise))
            });
        }
        let mut service = builder.build(self.methods.clone(), self.stop.clone());
        if is_upgrade || request.method() != Method::POST {
            return service.call(request);
        }
        Box::pin(async move {
            let (request, ids) = match whole(request).await {
                Whole::Request(request, ids) => (request, ids),
                Whole::Answer(answer) => return Ok(answer),
            };
            let answer = service.call(request).await?;
            match ids {
                _ if is_unanswered(&answer) => Ok(answer.map(|_| HttpBody::empty())),
                None => Ok(answer),
                Some(ids) => with_ids(answer, &ids).await,
            }
        })
    }
}

impl Door {
    /// What somebody hears who only looks.
    fn looked_at(&self, path: &str) -> HttpResponse {
        match path {
            "/health" => {
                let Readiness { is_ready, text } = (self.readiness.0)();
                plain(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
            }
            "/" => plain(StatusCode::OK, String::new()),
            _ => plain(StatusCode::NOT_FOUND, "JSON-RPC is at /, by POST\n".to_owned()),
        }
    }
}

/// The answer to a client that has no call left: what else it sent is not looked at.
fn over_quota(over: &OverQuota) -> HttpResponse {
    let text = serde_json::json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": { "code": LIMIT_CODE, "message": over.to_string() },
    });
    let mut response = Response::new(HttpBody::from(text.to_string()));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::RETRY_AFTER, over.wait.as_secs().saturating_add(1).into());
    // Browsers show a page nothing of an answer without it.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, header::HeaderValue::from_static("*"));
    response
}

fn plain(status: StatusCode, text: String) -> HttpResponse {
    let mut response = Response::new(HttpBody::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A request with all of its body, in which every id is one that the methods can give back; else the answer to a body that is
/// too large, does not come, or is none.
enum Whole {
    Request(Request<Full<Bytes>>, Option<Ids>),
    Answer(HttpResponse),
}

async fn whole(request: HttpRequest) -> Whole {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, JSONRPC_REQUEST_BYTES_MAX as usize).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Whole::Answer(too_large(JSONRPC_REQUEST_BYTES_MAX)),
        Err(_) => return Whole::Answer(malformed()),
    };
    let (body, ids) = match ids::look(&body) {
        Body::Plain => (body, None),
        Body::Replaced(replaced, ids) => (replaced.into(), Some(ids)),
        Body::NoRequest => return Whole::Answer(ok_response(NO_REQUEST)),
    };
    let length = body.len();
    let mut request = Request::from_parts(parts, Full::new(body));
    request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Whole::Request(request, ids)
}

/// Whether there were notifications alone, which JSON-RPC answers with nothing at all: what they come to is `null`, and no
/// answer else, an object or a list, is so short.
fn is_unanswered(answer: &HttpResponse) -> bool {
    answer.status() == StatusCode::OK && answer.body().size_hint().exact() == Some(UNANSWERED.len() as u64)
}

/// An answer with the ids that its request came with.
async fn with_ids(answer: HttpResponse, ids: &Ids) -> Result<HttpResponse, BoxError> {
    let (mut parts, body) = answer.into_parts();
    let body = Limited::new(body, JSONRPC_RESPONSE_BYTES_MAX as usize).collect().await?.to_bytes();
    let body = ids.put_back(&body).unwrap_or_else(|| body.to_vec());
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, HttpBody::from(body)))
}
