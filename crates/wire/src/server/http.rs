//! HTTP/1.1 for all that is not gRPC: metrics, probes, Ethereum JSON-RPC, WebSocket upgrades.
//!
//! ```text
//! listener's bounds -> whole head in time -> whole body in time -> the service -> an answer that must be read
//! ```
//!
//! On a drain it takes no more connections, lets calls in work finish, and after [`DRAIN_TIMEOUT`] closes what is left.

use super::Listener;
use super::body::{Counted, Patient};
use super::client::FromAddress;
use super::listener::Connection;
use super::seats::Seat;
use crate::limits::{DRAIN_TIMEOUT, HEADER_BUFFER_BYTES_MAX, HEADER_TIMEOUT};
use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tower::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// What a service of [`serve`] is asked with.
pub type HttpRequest = Request<HttpBody>;

/// The body of a request: it comes within its time, or is an error.
#[derive(Debug)]
pub struct HttpBody(Patient<Incoming>);

impl Body for HttpBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// Serves `service` on `listener` until `shutdown` ends, then drains.
pub async fn serve<S, B>(listener: Listener, service: S, shutdown: impl Future<Output = ()>)
where
    S: Service<HttpRequest, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    let (seats, drain) = (listener.seats(), CancellationToken::new());
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => drop(tokio::spawn(converse(connection, service.clone(), drain.clone()))),
            Err(error) => {
                tracing::debug!(%error, "no connection was accepted");
                tokio::time::sleep(super::listener::ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drain.cancel();
    if tokio::time::timeout(DRAIN_TIMEOUT, seats.all_free()).await.is_err() {
        tracing::warn!(connections = seats.count(), "connections did not end in time and were closed");
        seats.dismiss_all();
    }
}

/// Serves one connection to its end.
async fn converse<S, B>(connection: Connection, service: S, drain: CancellationToken)
where
    S: Service<HttpRequest, Response = Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    let (seat, from) = (Arc::clone(connection.seat()), connection.from());
    let answer = service_fn(move |request| answer(Arc::clone(&seat), from, service.clone(), request));
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(connection), answer)
        .with_upgrades();
    tokio::pin!(conversation);
    let ended = tokio::select! {
        ended = &mut conversation => ended,
        () = drain.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer<S, B>(
    seat: Arc<Seat>,
    from: Option<FromAddress>,
    mut service: S,
    request: Request<Incoming>,
) -> Result<Response<Counted<B>>, BoxError>
where
    S: Service<HttpRequest, Response = Response<B>, Error: Into<BoxError>>,
{
    let in_work = seat.begin();
    let mut request = request.map(|body| HttpBody(Patient::new(body)));
    request.extensions_mut().insert(seat);
    if let Some(from) = from {
        request.extensions_mut().insert(from);
    }
    std::future::poll_fn(|context| service.poll_ready(context)).await.map_err(Into::into)?;
    let mut response = service.call(request).await.map_err(Into::into)?;
    // Others wait for a place: the client is told that the connection ends here, so that it sends nothing after it.
    if in_work.seat().is_wanted() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Counted::new(body, Some(in_work))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{BODY_TIMEOUT, HANDSHAKE_TIMEOUT};
    use crate::server::seats::Seats;
    use http_body_util::{BodyExt, Full};
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, timeout};

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A server of so many connections that answers every request with its body.
    struct Echo {
        address: SocketAddr,
        seats: Seats,
        stop: CancellationToken,
        served: JoinHandle<()>,
    }

    async fn echo(connections_count_max: usize) -> Echo {
        let listener = Listener::bind_for("127.0.0.1:0".parse().unwrap(), connections_count_max).await.unwrap();
        let (address, seats, stop) = (listener.address(), listener.seats(), CancellationToken::new());
        let service = tower::service_fn(|request: HttpRequest| async {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, BoxError>(Response::new(Full::new(body)))
        });
        let served = tokio::spawn(serve(listener, service, stop.clone().cancelled_owned()));
        Echo { address, seats, stop, served }
    }

    async fn said(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut rest = Vec::new();
        // A reset says as much as an end.
        let _ = stream.read_to_end(&mut rest).await;
        String::from_utf8(rest).unwrap()
    }

    async fn is_answered(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 12];
        let read = timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await;
        read.is_ok_and(|read| read.is_ok()) && answer == *b"HTTP/1.1 200"
    }

    #[tokio::test]
    async fn half_open_connections_lock_nobody_out() {
        let server = echo(8).await;
        let mut regular = said(server.address, GET).await;
        assert!(is_answered(&mut regular).await);
        let mut held = Vec::new();
        for round in 0..64 {
            let half: &[u8] = if round % 2 == 0 { b"" } else { b"GET / HTTP/1.1\r\nhost: somewhere far" };
            held.push(said(server.address, half).await);
            assert!(server.seats.count() <= 8);
        }
        let mut other = said(server.address, GET).await;
        assert!(is_answered(&mut other).await, "64 half-open connections locked others out");
        regular.write_all(GET).await.unwrap();
        assert!(regular.read(&mut [0; 64]).await.unwrap() > 0, "one that calls kept its place");
    }

    #[tokio::test]
    async fn of_more_who_call_at_once_than_there_are_places_for_each_is_answered() {
        let server = echo(8).await;
        let calls = (0..200).map(|_| async {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            // Whoever has many connections to open says something on each when it gets to it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(GET).await.unwrap();
            is_answered(&mut stream).await
        });
        let answered = futures_util::future::join_all(calls).await;
        assert_eq!(answered.iter().filter(|answered| **answered).count(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_half_a_head_and_half_a_body_end_in_their_time() {
        let server = echo(8).await;
        let cases: [(&[u8], Duration); 3] = [
            (b"", HANDSHAKE_TIMEOUT),
            (b"GET / HTTP/1.1\r\nhost: somewhere far", HEADER_TIMEOUT),
            (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf", BODY_TIMEOUT),
        ];
        for (half, limit) in cases {
            let stream = said(server.address, half).await;
            let begun = Instant::now();
            rest(stream).await;
            let took = begun.elapsed();
            assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?} for a limit of {limit:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_sent_request_does_not_hold_a_drain() {
        let server = echo(8).await;
        let half = said(server.address, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf").await;
        while server.seats.count() == 0 {
            tokio::task::yield_now().await;
        }
        server.stop.cancel();
        timeout(DRAIN_TIMEOUT + Duration::from_secs(1), server.served).await.unwrap().unwrap();
        rest(half).await;
        server.seats.all_free().await;
    }

    #[tokio::test]
    async fn a_drain_waits_for_nobody_who_asks_nothing() {
        let server = echo(8).await;
        let mut idle = said(server.address, GET).await;
        assert!(is_answered(&mut idle).await);
        server.stop.cancel();
        timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap();
    }
}
