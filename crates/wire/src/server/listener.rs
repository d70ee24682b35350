//! A TCP listener that holds a bounded number of connections, and lets none hold it.
//!
//! ```text
//! accept -> seat (bounded; the idlest makes room) -> first bytes in time -> whatever protocol, watched:
//!     nothing asked for long, answers not read, a write that does not move: the connection is closed
//! ```
//!
//! Every listener of every process is one of these: gRPC, JSON-RPC, metrics.

use super::ServerError;
use super::client::FromAddress;
use super::descriptors;
use super::seats::{Held, LOOK_INTERVAL, Seat, Seats};
use crate::limits::{CONNECTIONS_COUNT_MAX, HANDSHAKE_TIMEOUT, WRITE_STALL_TIMEOUT};
use crate::tls::Names;
use futures_util::stream::{Stream, unfold};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Bytes that a client sends before anything else: HTTP/2's preface. A TLS greeting is longer.
const PREFACE_BYTES: usize = 24;

/// The pause after an accept that failed for want of a file or memory: trying at once would only spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound TCP socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    seats: Seats,
}

impl Listener {
    /// Binds `address` for at most [`CONNECTIONS_COUNT_MAX`] connections; port 0 takes any free one, which
    /// [`Listener::address`] tells.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServerError> {
        Self::bind_for(address, CONNECTIONS_COUNT_MAX).await
    }

    /// Binds `address` for at most `connections_count_max` connections, or fewer where the process may not open so many
    /// files.
    pub async fn bind_for(address: SocketAddr, connections_count_max: usize) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let seats = Seats::new(descriptors::share(connections_count_max));
        Ok(Self { socket, address, seats })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The places of its connections.
    pub(crate) fn seats(&self) -> Seats {
        self.seats.clone()
    }

    /// The next connection that there is a place for.
    pub(crate) async fn accept(&self) -> io::Result<Connection> {
        let (stream, _) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Connection::new(stream, self.seats.take().await))
    }

    /// Connections as they come.
    pub(crate) fn into_connections(self) -> impl Stream<Item = io::Result<Connection>> {
        unfold(self, |listener| async move {
            let accepted = listener.accept().await;
            if accepted.is_err() {
                sleep(ACCEPT_PAUSE).await;
            }
            Some((accepted, listener))
        })
    }
}

/// A connection in its seat.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// How many bytes must still come, and until when.
    patience: Option<(usize, Pin<Box<Sleep>>)>,
    /// Until when a write that waits has to move.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Who waits to read until a write has moved.
    held_back: Option<Waker>,
    /// When the connection is looked at again.
    look: Pin<Box<Sleep>>,
    dismissed: Pin<Box<WaitForCancellationFutureOwned>>,
    held: Held,
}

/// Who is at the other end, and its place here: what each call's extensions have.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) tcp: TcpConnectInfo,
    pub(crate) seat: Arc<Seat>,
    /// What its certificate says; none over plain text.
    pub(crate) names: Option<Arc<Names>>,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer { tcp: self.stream.connect_info(), seat: Arc::clone(self.seat()), names: None }
    }
}

impl Connection {
    fn new(stream: TcpStream, held: Held) -> Self {
        let dismissed = Box::pin(held.seat().dismissed().cancelled_owned());
        let patience = Some((PREFACE_BYTES, Box::pin(sleep(HANDSHAKE_TIMEOUT))));
        Self { stream, patience, stalled: None, held_back: None, look: Box::pin(sleep(LOOK_INTERVAL)), dismissed, held }
    }

    /// Who is at the other end; none that has gone already.
    pub(crate) fn from(&self) -> Option<FromAddress> {
        self.stream.peer_addr().ok().map(|address| FromAddress(address.ip()))
    }

    /// Its place.
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        self.held.seat()
    }

    /// Whether the connection is worth going on with; wakes the task when it may no longer be.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.look.as_mut().poll(context).is_ready() {
            self.seat().look();
            self.look.as_mut().reset(Instant::now() + LOOK_INTERVAL);
        }
        if self.dismissed.as_mut().poll(context).is_ready() {
            let reason = self.seat().dismissal();
            tracing::debug!(reason = reason.map(tracing::field::display), "connection closed");
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                reason.map_or_else(String::new, |reason| reason.to_string()),
            ));
        }
        if let Some((_, until)) = &mut self.patience
            && until.as_mut().poll(context).is_ready()
            && !self.held.seat().has_called()
        {
            return Err(timed_out("the peer opened a connection and was silent"));
        }
        Ok(())
    }

    fn note_read(&mut self, bytes: usize) {
        self.patience = self
            .patience
            .take()
            .filter(|(missing, _)| *missing > bytes)
            .map(|(missing, until)| (missing - bytes, until));
    }

    /// What a write came to, or that it has waited for too long.
    fn written(&mut self, context: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match write {
            Poll::Ready(written) => {
                self.stalled = None;
                if let Some(waker) = self.held_back.take() {
                    waker.wake();
                }
                if let Ok(bytes) = written {
                    self.seat().note_written(bytes);
                }
                Poll::Ready(written)
            }
            Poll::Pending => {
                self.check(context)?;
                let until = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL_TIMEOUT)));
                match until.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(timed_out("the peer does not read"))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

fn timed_out(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        // A WebSocket client that does not read its answers is not listened to either.
        if self.stalled.is_some() && self.seat().is_standing() {
            self.held_back = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = buffer.filled().len() - before;
        self.note_read(came);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, write)
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
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
