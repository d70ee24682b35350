//! What is looked at rather than called: pages and what is on them, by GET, on the port of the methods.
//!
//! ```text
//!  GET under a site's folder -> Look -> Site -> Told: status, headers, and bytes or a stream
//!  a site that needs what the methods tell -> Inside -> the same methods, without a connection
//! ```
//!
//! Knows nothing of what is on the pages. A site bounds its own work: the meter of the methods does not see it.

use super::chain::Chain;
use super::{JsonRpcError, methods};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use jsonrpsee::Methods;
use jsonrpsee::server::{HttpBody, HttpResponse};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Most bytes of a path with its query that a site is asked for: longer ones are refused.
pub const LOOK_BYTES_MAX: usize = 4 << 10;

/// What a reader of server-sent events says when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The path, as it came: percent-encoded.
    pub path: String,
    /// What follows the question mark, as it came; empty for nothing.
    pub query: String,
    /// The tag of what the asker has already; none if it says none.
    pub has: Option<String>,
    /// The id of the last event that the asker had of a stream, if it comes back to one.
    pub since: Option<String>,
}

/// What is shown.
#[derive(Debug)]
pub enum Shown {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece until the other end is dropped.
    Pieces(mpsc::Receiver<Bytes>),
}

/// An answer to a [`Look`].
#[derive(Debug)]
pub struct Told {
    /// The status, as HTTP numbers them.
    pub status: u16,
    /// Headers; a value that is none is left out.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub shown: Shown,
}

/// The answer to a look, once it is there; none for a path that is nowhere.
pub type Telling = Pin<Box<dyn Future<Output = Option<Told>> + Send>>;

/// Pages beside the methods; a service implements it.
pub trait Site: fmt::Debug + Send + Sync + 'static {
    /// The first step of the paths that are its own, such as `/explorer`.
    fn folder(&self) -> &'static str;

    /// What there is to see.
    fn look(self: Arc<Self>, look: Look) -> Telling;
}

/// Whether `path` is `folder` or lies in it.
pub(super) fn is_in(folder: &str, path: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What `request`, a GET or a HEAD, wants to see.
pub(super) fn look<B>(request: &http::Request<B>) -> Look {
    let uri = request.uri();
    let said = |name: HeaderName| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
    Look {
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        has: said(header::IF_NONE_MATCH),
        since: said(LAST_EVENT_ID),
    }
}

/// Asks `site`; none for a path that is nowhere.
pub(super) async fn ask(site: Arc<dyn Site>, look: Look, method: Method) -> Option<HttpResponse> {
    if look.path.len() + look.query.len() > LOOK_BYTES_MAX {
        let mut answer = Response::new(HttpBody::empty());
        *answer.status_mut() = StatusCode::URI_TOO_LONG;
        return Some(answer);
    }
    let Told { status, headers, shown } = site.look(look).await?;
    let body = match shown {
        _ if method == Method::HEAD => HttpBody::empty(),
        Shown::Whole(bytes) => HttpBody::new(http_body_util::Full::new(bytes)),
        Shown::Pieces(pieces) => {
            let frames = ReceiverStream::new(pieces).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
            HttpBody::new(StreamBody::new(frames))
        }
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    Some(answer)
}

/// The methods, asked from within the process.
#[derive(Debug, Clone)]
pub struct Inside(Methods);

/// What a method said instead of a result: the words of its error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method}: {words}")]
pub struct Refused {
    /// Which method.
    pub method: String,
    /// Its words.
    pub words: String,
}

impl Inside {
    /// Those that `chain` answers.
    ///
    /// # Errors
    /// [`JsonRpcError::Method`] if two have one name.
    pub fn of<C: Chain>(chain: Arc<C>) -> Result<Self, JsonRpcError> {
        methods(chain).map(Self)
    }

    /// What `method` says to `params`.
    ///
    /// # Errors
    /// [`Refused`] with the method's own words.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, Refused> {
        let refused = |words: String| Refused { method: method.to_owned(), words };
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let (answer, _) = self.0.raw_json_request(&request, 1).await.map_err(|error| refused(error.to_string()))?;
        let mut answer: Value = serde_json::from_str(answer.get()).map_err(|error| refused(error.to_string()))?;
        match answer["error"]["message"].as_str() {
            Some(words) => Err(refused(words.to_owned())),
            None => Ok(answer["result"].take()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_itself_and_what_is_in_it() {
        assert!(is_in("/explorer", "/explorer") && is_in("/explorer", "/explorer/tx/0x1"));
        assert!(!is_in("/explorer", "/explorers") && !is_in("/explorer", "/"));
    }
}
