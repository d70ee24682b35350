//! A site beside the methods: who gets what.

use super::{chain, post, request};
use crate::jsonrpc::{Inside, JsonRpc, Look, Shown, Site, Telling, Told};
use bytes::Bytes;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Tells what it was asked; `/site/live` never ends.
#[derive(Debug)]
struct Echo(mpsc::Sender<mpsc::Sender<Bytes>>);

impl Site for Echo {
    fn folder(&self) -> &'static str {
        "/site"
    }

    fn look(self: Arc<Self>, look: Look) -> Telling {
        Box::pin(async move {
            let shown = match look.path.as_str() {
                "/site/none" => return None,
                "/site/live" => {
                    let (events, pieces) = mpsc::channel(1);
                    events.send("first\n".into()).await.unwrap();
                    self.0.send(events).await.unwrap();
                    Shown::Pieces(pieces)
                }
                path => Shown::Whole(format!("{path} {} {:?}", look.query, look.has).into()),
            };
            Some(Told { status: 203, headers: vec![("x-told", "so".to_owned()), ("x-not", "a\nb".to_owned())], shown })
        })
    }
}

async fn served() -> (SocketAddr, mpsc::Receiver<mpsc::Sender<Bytes>>) {
    let (live, lives) = mpsc::channel(1);
    let server = JsonRpc::bind("127.0.0.1:0".parse().unwrap(), Arc::new(chain())).await.unwrap();
    let server = server.beside(Arc::new(Echo(live)));
    let address = server.address();
    tokio::spawn(server.serve(std::future::pending()));
    (address, lives)
}

#[tokio::test]
async fn a_site_answers_in_its_folder_and_nowhere_else() {
    let (address, _lives) = served().await;
    let told = request(address, "GET /site/a%20b?c=d HTTP/1.1\r\nif-none-match: \"tag\"").await;
    assert!(told.starts_with("HTTP/1.1 203") && told.contains("x-told: so"), "{told}");
    assert!(!told.contains("x-not"), "a header that is none is left out");
    assert!(told.ends_with("/site/a%20b c=d Some(\"\\\"tag\\\"\")"), "{told}");
    assert!(request(address, "GET /sites HTTP/1.1").await.starts_with("HTTP/1.1 404"));
    assert!(request(address, "GET /site/none HTTP/1.1").await.starts_with("HTTP/1.1 404"));
    assert!(request(address, "GET / HTTP/1.1").await.starts_with("HTTP/1.1 200"));
    let head = request(address, "HEAD /site/a HTTP/1.1").await;
    assert!(head.starts_with("HTTP/1.1 203") && head.ends_with("\r\n\r\n"), "{head}");
    let call = post(address, r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#).await;
    assert!(call.ends_with(r#""result":"0x539"}"#), "{call}");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_not_asked_about() {
    let (address, _lives) = served().await;
    let long = request(address, &format!("GET /site/{} HTTP/1.1", "a".repeat(5_000))).await;
    assert!(long.starts_with("HTTP/1.1 414"), "{long}");
}

#[tokio::test]
async fn a_stream_is_told_piece_by_piece_and_ends_with_its_source() {
    let (address, mut lives) = served().await;
    let told = tokio::spawn(async move { request(address, "GET /site/live HTTP/1.1").await });
    let events = lives.recv().await.unwrap();
    events.send("second\n".into()).await.unwrap();
    drop(events);
    let told = told.await.unwrap();
    assert!(told.contains("first\n") && told.contains("second\n"), "{told}");
}

#[tokio::test]
async fn the_methods_answer_from_inside_with_their_own_words() {
    let inside = Inside::of(Arc::new(chain())).unwrap();
    assert_eq!(inside.ask("eth_chainId", json!([])).await, Ok(json!("0x539")));
    let refused = inside.ask("no_such", json!([])).await.unwrap_err();
    assert!(refused.to_string().starts_with("no_such: "), "{refused}");
}
