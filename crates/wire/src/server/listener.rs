//! A TCP listener that holds a bounded number of connections and gives up on silent ones.

use super::ServerError;
use crate::limits::{CONNECTIONS_COUNT_MAX, HANDSHAKE_TIMEOUT};
use futures_util::stream::{Stream, unfold};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Bytes that a client sends before anything else: HTTP/2's preface. A TLS greeting is longer.
const PREFACE_BYTES: usize = 24;

/// The pause after an accept that failed for want of a file or memory: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound TCP socket.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 takes any free one, which [`Listener::address`] tells.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections as they come, at most [`CONNECTIONS_COUNT_MAX`] at once.
    pub(crate) fn into_connections(self) -> impl Stream<Item = io::Result<Connection>> {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_COUNT_MAX));
        unfold((self.listener, permits), |(listener, permits)| async move {
            let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
            let accepted = accept(&listener, permit).await;
            if accepted.is_err() {
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Some((accepted, (listener, permits)))
        })
    }
}

async fn accept(listener: &TcpListener, permit: OwnedSemaphorePermit) -> io::Result<Connection> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let patience = Some((PREFACE_BYTES, Box::pin(tokio::time::sleep(HANDSHAKE_TIMEOUT))));
    Ok(Connection { stream, patience, _permit: permit })
}

/// A connection that counts against the listener's bound until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// How many bytes must still come, and until when.
    patience: Option<(usize, Pin<Box<Sleep>>)>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((_, until)) = &mut self.patience
            && until.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer opened a connection and was silent",
            )));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = buffer.filled().len() - before;
        self.patience =
            self.patience.take().filter(|(missing, _)| *missing > came).map(|(missing, until)| (missing - came, until));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
