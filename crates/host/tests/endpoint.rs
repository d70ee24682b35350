//! The operator's endpoint.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_host::{Bounds, Class, Health, Instruments, State, serve_http};
use fixture::{SETTINGS, add, host as make_host};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use wire::server::Listener;

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (status, response.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn the_endpoint_shows_health_readiness_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let mut registry = Registry::with_prefix("dovetail");
    let mut host = make_host(folder.path(), SETTINGS, Bounds::default());
    host.instruments = Instruments::register(&mut registry);
    let running = host.spawn().unwrap();
    let (health, stop) = (Health::new(), CancellationToken::new());
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.address();
    let served = tokio::spawn(serve_http(listener, Arc::new(registry), health.clone(), stop.clone()));

    assert_eq!(get(address, "/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(get(address, "/readyz").await, (503, "starting\n".to_owned()));
    health.set(State::Ready);
    assert_eq!(get(address, "/readyz").await.0, 200);

    running.handle.call(Class::New, add(1)).await.unwrap();
    let (status, metrics) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("dovetail_host_commit_seconds_count"), "{metrics}");
    assert!(metrics.contains("dovetail_host_steps_total"), "{metrics}");

    health.set(State::Failed("disk".to_owned()));
    assert_eq!(get(address, "/healthz").await, (503, "failed: disk\n".to_owned()));
    stop.cancel();
    served.await.unwrap();
}
