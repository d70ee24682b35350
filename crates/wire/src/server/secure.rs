//! Connections under TLS: the handshake beside the accepting, each by the certificates that are in use when it comes.
//!
//! ```text
//!   accept --> seat --> handshake (a task of its own, timed) --> HTTP/2 with the name of whoever is at the other end
//!                           |--> refused: one line in the log, which says why
//! ```
//!
//! Promise: who is slow in a handshake holds up its own connection and nothing else; how many there are is bounded by seats.

use super::complaints::Complaints;
use super::listener::{ACCEPT_PAUSE, Connection, Listener, Peer};
use crate::limits::HANDSHAKE_TIMEOUT;
use crate::tls::{Names, Tls, io_words};
use futures_util::stream::{Stream, StreamExt};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// A connection, in plain text or under TLS.
#[derive(Debug)]
pub(super) enum Secured {
    /// As it came.
    Plain(Connection),
    /// Both ends have shown a certificate.
    Tls(Box<TlsStream<Connection>>, Arc<Names>),
}

impl Connected for Secured {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(connection) => connection.connect_info(),
            Self::Tls(stream, names) => Peer { names: Some(Arc::clone(names)), ..stream.get_ref().0.connect_info() },
        }
    }
}

/// The connections of `listener`, under TLS if there are certificates.
pub(super) fn connections(
    listener: Listener,
    tls: Option<Tls>,
) -> Pin<Box<dyn Stream<Item = io::Result<Secured>> + Send>> {
    match tls {
        None => Box::pin(listener.into_connections().map(|connection| connection.map(Secured::Plain))),
        Some(tls) => Box::pin(handshaken(listener, tls)),
    }
}

fn handshaken(listener: Listener, tls: Tls) -> impl Stream<Item = io::Result<Secured>> {
    let (done, ready) = mpsc::channel(1);
    tokio::spawn(async move {
        let complaints = Arc::new(Complaints::default());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                // The server drains: nobody takes what would come.
                () = done.closed() => return,
            };
            match accepted {
                Ok(connection) => {
                    let handshake = shake(connection, tls.clone(), Arc::clone(&complaints));
                    let done = done.clone();
                    tokio::spawn(async move {
                        if let Some(secured) = handshake.await {
                            // An error means that the server drains.
                            let _ = done.send(Ok(secured)).await;
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "no connection was accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(ready)
}

/// One handshake. A connection that does not come through it is closed.
async fn shake(connection: Connection, tls: Tls, complaints: Arc<Complaints>) -> Option<Secured> {
    let from = connection.from().map(|from| from.0);
    let refused = |reason: &str| {
        complaints.tell(|left_out| {
            tracing::warn!(from = from.map(tracing::field::display), reason, left_out, "a connection was refused");
        });
    };
    let handshake = TlsAcceptor::from(tls.server()).accept(connection);
    let stream = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            refused(&io_words(&error));
            return None;
        }
        Err(_) => {
            refused("the handshake took too long");
            return None;
        }
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|der| Names::of(der));
    match shown {
        Some(Ok(names)) => Some(Secured::Tls(Box::new(stream), Arc::new(names))),
        Some(Err(reason)) => {
            refused(&reason);
            None
        }
        // The verifier asks for one.
        None => None,
    }
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }
}
