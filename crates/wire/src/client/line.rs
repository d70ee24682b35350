//! What calls go over: a channel to one endpoint, under TLS by the certificates in use.
//!
//! Promise: after certificates have changed, the next call goes over a new connection that shows the new one; calls that are under way
//! end over the old one. A connection that is refused says why in the words of [`crate::tls`], not in those of a transport.

use crate::limits::HANDSHAKE_TIMEOUT;
use crate::tls::{Tls, io_words};
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;
use tonic::transport::channel::ResponseFuture;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

/// How long a server's first word is waited for. By TLS 1.3 a client is done before the server has looked at its certificate, and
/// only that word, or the alert in its place, tells whether it was accepted. A server may keep silent until it is asked.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// A channel, made again when certificates change. Clones share it.
#[derive(Clone)]
pub(crate) struct Line {
    channel: Channel,
    secure: Option<Arc<Secure>>,
}

struct Secure {
    endpoint: Endpoint,
    connector: Connector,
    current: Mutex<(u64, Channel)>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("is_secure", &self.secure.is_some()).finish_non_exhaustive()
    }
}

impl Line {
    /// In plain text.
    pub(super) fn plain(endpoint: &Endpoint) -> Self {
        Self { channel: endpoint.connect_lazy(), secure: None }
    }

    /// Under TLS to a server whose certificate is for `name`.
    pub(super) fn secure(endpoint: Endpoint, tls: Tls, name: ServerName<'static>) -> Self {
        let connector = Connector { tls, name };
        let generation = connector.tls.generation();
        let channel = endpoint.connect_with_connector_lazy(connector.clone());
        let current = Mutex::new((generation, channel.clone()));
        Self { channel, secure: Some(Arc::new(Secure { endpoint, connector, current })) }
    }
}

impl Secure {
    /// The channel of the certificates in use.
    fn channel(&self) -> Channel {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.connector.tls.generation();
        if current.0 != generation {
            *current = (generation, self.endpoint.connect_with_connector_lazy(self.connector.clone()));
        }
        current.1.clone()
    }
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Some(secure) = &self.secure {
            self.channel = secure.channel();
        }
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        self.channel.call(request)
    }
}

/// Connects by TCP, then by TLS.
#[derive(Debug, Clone)]
struct Connector {
    tls: Tls,
    name: ServerName<'static>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(TokioIo::new(connector.connect(&uri).await?)) })
    }
}

impl Connector {
    async fn connect(self, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(443);
        let failed =
            |error: &io::Error| io::Error::new(error.kind(), format!("no TLS with {host}:{port}: {}", io_words(error)));
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        let handshake = TlsConnector::from(self.tls.client()).connect(self.name, tcp);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{host}:{port} does not answer in TLS"));
        let mut stream = timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(late)?.map_err(|error| failed(&error))?;
        match timeout(FIRST_WORD_TIMEOUT, stream.fill_buf()).await {
            Ok(Ok([])) => Err(failed(&io::ErrorKind::UnexpectedEof.into())),
            Ok(Err(error)) => Err(failed(&error)),
            Ok(Ok(_)) | Err(_) => Ok(stream),
        }
    }
}
