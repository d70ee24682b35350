//! A connection to a gRPC server of the network, as every typed client uses it.
//!
//!   typed client -> deadline, retries with backoff -> bearer token -> channel (TLS; keepalive while idle, reconnects)
//!
//! Promise: every call ends by its deadline; a connection cut off silently is noticed within the keepalive's interval and
//! timeout, idle or not, and made anew; only calls that say they are idempotent are tried again, and only when the server
//! was unavailable.
//!
//! Deadlines travel with the call, so that the server gives up too. A call whose caller goes runs to its end or its deadline
//! all the same, as far as [`READS_LEFT_COUNT_MAX`] allows: what is given up is a reset stream, and a server cuts a connection
//! with too many of them, which others use too. Knows nothing of what the calls mean.

mod line;

use crate::limits::{
    BACKOFF_MAX, BACKOFF_MIN, CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, HEADER_LIST_BYTES_MAX, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, READ_DEADLINE, READS_LEFT_COUNT_MAX, STREAM_WINDOW_BYTES, TRIES_COUNT_MAX, WRITE_DEADLINE,
};
use crate::rejection::{Reason, Rejection};
use crate::tls::Tls;
use crate::traces;
use line::Line;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Endpoint, Uri};
use tonic::{Request, Response, Status};

/// A unary call on a clone of a typed client's `grpc`, as its [`Connection`] takes it.
macro_rules! call {
    ($self:ident, $method:ident) => {
        |request| {
            let mut grpc = $self.grpc.clone();
            async move { grpc.$method(request).await }
        }
    };
}
pub(crate) use call;

/// Where to connect to, and as whom.
#[derive(Clone, Default)]
pub struct ClientSettings {
    /// `http://host:port`, or `https://host:port` with [`ClientSettings::tls`].
    pub endpoint: String,
    /// Our certificate, and the authority that signs the server's.
    pub tls: Option<Tls>,
    /// The name in the server's certificate, where it is not the endpoint's host.
    pub server_name: Option<String>,
    /// Sent as `authorization: Bearer …`, never printed.
    pub token: Option<String>,
}

impl ClientSettings {
    /// A plain connection to `endpoint`, as within one machine or one mesh.
    pub fn plain(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), ..Self::default() }
    }

    /// Whether a connection can be made of them; opens none.
    ///
    /// # Errors
    /// [`ConnectError`], as [`Connection::open`] says it.
    pub fn check(&self) -> Result<(), ConnectError> {
        let is_secure = self.uri()?.scheme_str() == Some("https");
        match &self.tls {
            None if is_secure => Err(ConnectError::NoCertificates { endpoint: self.endpoint.clone() }),
            _ => Ok(()),
        }
    }

    /// The endpoint, which is of no use without a scheme: nothing ever connects to it.
    fn uri(&self) -> Result<Uri, ConnectError> {
        let wrong = |reason: String| ConnectError::Endpoint { endpoint: self.endpoint.clone(), reason };
        let uri: Uri = self.endpoint.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
        match uri.scheme_str() {
            Some("http" | "https") => Ok(uri),
            _ => Err(wrong("it does not begin with http:// or https://".to_owned())),
        }
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, tls, server_name, token } = self;
        f.debug_struct("ClientSettings")
            .field("endpoint", endpoint)
            .field("tls", &tls.is_some())
            .field("server_name", server_name)
            .field("token", &token.as_ref().map(|_| "redacted"))
            .finish()
    }
}

/// Why settings make no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is no URI, or TLS settings do not hold together.
    #[error("endpoint {endpoint:?}: {reason}")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// `https` without certificates.
    #[error("endpoint {endpoint:?} asks for TLS, and no certificates were named (`tls`)")]
    NoCertificates {
        /// The endpoint.
        endpoint: String,
    },
    /// A token with characters that a header may not have.
    #[error("the bearer token has characters that a header may not have")]
    Token,
}

/// What a gRPC client calls through.
pub(crate) type Transport = InterceptedService<Line, Bearer>;

/// Puts the bearer token, if there is one, on every call.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Whether a call may be made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once.
    Idempotent,
    /// A second time may be answered otherwise; the caller decides.
    Once,
}

/// How long a call may take, retries included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For reads.
    pub read: Duration,
    /// For calls that wait for a block.
    pub write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { read: READ_DEADLINE, write: WRITE_DEADLINE }
    }
}

/// A connection to one server; cheap to clone, shared by all clones. Connects when first used, and again when cut.
#[derive(Debug, Clone)]
pub struct Connection {
    transport: Transport,
    deadlines: Deadlines,
    /// Places of reads that may outlive their caller.
    left: Arc<Semaphore>,
}

impl Connection {
    /// A connection by `settings`; nothing is sent yet. Call it within a tokio runtime.
    pub fn open(settings: &ClientSettings) -> Result<Self, ConnectError> {
        let bearer = match &settings.token {
            Some(token) => {
                let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| ConnectError::Token)?;
                value.set_sensitive(true);
                Bearer(Some(value))
            }
            None => Bearer(None),
        };
        let line = line(settings)?;
        let transport = InterceptedService::new(line, bearer);
        Ok(Self { transport, deadlines: Deadlines::default(), left: Arc::new(Semaphore::new(READS_LEFT_COUNT_MAX)) })
    }

    /// This connection with other deadlines; the transport is shared.
    #[must_use]
    pub fn with_deadlines(&self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self.clone() }
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// A read: idempotent, and left to end by itself when its caller goes.
    pub(crate) async fn read<M, R, F>(&self, message: M, call: impl Fn(Request<M>) -> F) -> Result<R, Rejection>
    where
        M: Clone,
        R: Send + 'static,
        F: Future<Output = Result<Response<R>, Status>> + Send + 'static,
    {
        let call = |request| left_alone(Arc::clone(&self.left), call(request));
        self.call(self.deadlines.read, Repeat::Idempotent, message, call).await
    }

    /// A call that waits for a block.
    pub(crate) async fn write<M, R, F>(
        &self,
        repeat: Repeat,
        message: M,
        call: impl Fn(Request<M>) -> F,
    ) -> Result<R, Rejection>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.call(self.deadlines.write, repeat, message, call).await
    }

    async fn call<M, R, F>(
        &self,
        deadline: Duration,
        repeat: Repeat,
        message: M,
        call: impl Fn(Request<M>) -> F,
    ) -> Result<R, Rejection>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let start = Instant::now();
        let tries_count_max = if repeat == Repeat::Idempotent { TRIES_COUNT_MAX } else { 1 };
        let mut tried = 1;
        loop {
            let remaining = deadline.saturating_sub(start.elapsed());
            let mut request = Request::new(message.clone());
            request.set_timeout(remaining);
            traces::inject(request.metadata_mut());
            // The channel's own timeout begins when it has a connection, which may never be.
            let rejection = match tokio::time::timeout(remaining, call(request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Rejection::from(status),
                Err(_) => Rejection::from(Status::deadline_exceeded("no answer, and perhaps no connection")),
            };
            let wait = backoff(tried);
            let late = start.elapsed().saturating_add(wait) >= deadline;
            if rejection.reason != Reason::Unavailable || tried >= tries_count_max || late {
                return Err(rejection);
            }
            tokio::time::sleep(wait).await;
            tried += 1;
        }
    }
}

/// Runs `call` so that it goes on without whoever waits for it; where too many are alone already, so that it does not.
async fn left_alone<R: Send + 'static>(
    left: Arc<Semaphore>,
    call: impl Future<Output = Result<Response<R>, Status>> + Send + 'static,
) -> Result<Response<R>, Status> {
    let Ok(place) = left.try_acquire_owned() else { return call.await };
    let alone = tokio::spawn(async move {
        let _place = place;
        call.await
    });
    alone.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
}

/// How long to wait after try `tried`, from 1: doubles up to its maximum, then a random half of it is taken off, so that
/// callers cut off together do not come back together.
fn backoff(tried: u32) -> Duration {
    let full = BACKOFF_MIN.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let random = RandomState::new().build_hasher().finish() as u16;
    let taken_off = full.mul_f64(f64::from(random) / f64::from(u16::MAX) / 2.0);
    full.saturating_sub(taken_off)
}

fn line(settings: &ClientSettings) -> Result<Line, ConnectError> {
    let wrong = |reason: String| ConnectError::Endpoint { endpoint: settings.endpoint.clone(), reason };
    let uri = settings.uri()?;
    if uri.scheme_str() != Some("https") {
        return Ok(Line::plain(&bounded(Endpoint::from(uri))));
    }
    let no_certificates = || ConnectError::NoCertificates { endpoint: settings.endpoint.clone() };
    let tls = settings.tls.clone().ok_or_else(no_certificates)?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let name = settings.server_name.clone().unwrap_or_else(|| host.to_owned());
    let name = ServerName::try_from(name).map_err(|error| wrong(error.to_string()))?;
    // The connector speaks TLS; to the channel the endpoint is a plain one, so that it does not do so again.
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    let inner = Uri::from_parts(parts).map_err(|error| wrong(error.to_string()))?;
    Ok(Line::secure(bounded(Endpoint::from(inner)).origin(uri), tls, name))
}

/// The endpoint with every limit set.
fn bounded(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(KEEPALIVE_INTERVAL))
        // Without these a channel never recovers from a partition: its retries hang on the dead connection.
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::oneshot;

    #[test]
    fn an_endpoint_that_is_none_is_refused_before_anything_connects() {
        for none in ["http://", "junk", "127.0.0.1:9000", "ftp://127.0.0.1:1", ""] {
            assert!(matches!(ClientSettings::plain(none).check(), Err(ConnectError::Endpoint { .. })), "{none}");
        }
        assert!(ClientSettings::plain("http://127.0.0.1:1").check().is_ok());
        let bare = ClientSettings::plain("https://127.0.0.1:1").check();
        assert!(matches!(bare, Err(ConnectError::NoCertificates { .. })));
    }

    fn unreachable_server() -> Connection {
        Connection::open(&ClientSettings::plain("http://127.0.0.1:1")).unwrap()
    }

    async fn tries(repeat: Repeat, status: fn() -> Status) -> u32 {
        let tried = AtomicU32::new(0);
        let server = unreachable_server();
        let call = |_| {
            tried.fetch_add(1, Ordering::Relaxed);
            async { Err(status()) }
        };
        assert!(server.write::<_, (), _>(repeat, (), call).await.is_err());
        tried.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idempotent_call_is_tried_a_bounded_number_of_times() {
        assert_eq!(tries(Repeat::Idempotent, || Status::unavailable("gone")).await, TRIES_COUNT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_may_not_repeat_is_tried_once() {
        assert_eq!(tries(Repeat::Once, || Status::unavailable("gone")).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_tried_again() {
        assert_eq!(tries(Repeat::Idempotent, || Status::resource_exhausted("busy")).await, 1);
    }

    #[tokio::test]
    async fn a_read_whose_caller_goes_ends_by_itself() {
        let (end, ended) = oneshot::channel::<()>();
        let (told, tell) = oneshot::channel::<()>();
        let ends = Mutex::new(Some((ended, told)));
        let call = |_: Request<()>| {
            let (ended, told) = ends.lock().unwrap().take().unwrap();
            async move {
                let _ = ended.await;
                let _ = told.send(());
                Ok(Response::new(()))
            }
        };
        let server = unreachable_server();
        let given_up = tokio::time::timeout(Duration::from_millis(1), server.read((), call)).await;
        assert!(given_up.is_err());
        end.send(()).unwrap();
        tell.await.expect("the call went on");
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        for tried in 1..40 {
            assert!(backoff(tried) <= BACKOFF_MAX && backoff(tried) >= BACKOFF_MIN / 2);
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_is_no_uri_is_refused() {
        let refused = Connection::open(&ClientSettings::plain("not a uri"));
        assert!(matches!(refused, Err(ConnectError::Endpoint { .. })));
    }

    #[test]
    fn a_token_is_never_printed() {
        let settings = ClientSettings { token: Some("hunter2".into()), ..ClientSettings::plain("http://x") };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
