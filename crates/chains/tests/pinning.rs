//! A chain's state at one block through an endpoint that misbehaves over real HTTP: a value is that block's, or there is none.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, U256, hex};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use dovetail_chains::endpoint::EndpointError;
use dovetail_chains::pinned::{self, Account, CALLS_PER_BATCH_COUNT_MAX, Pin, PinError, Pinned};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const PIN: Pin = Pin { chain_id: 900, number: 17, hash: B256::repeat_byte(0x17) };

/// What the endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    /// It takes no batches.
    OneByOne,
    /// HTTP 503 for so many requests.
    Busy(usize),
    /// It has forgotten the state of the block.
    Pruned,
    /// It has no block of this number.
    NoBlock,
    /// Its block of this number is another.
    Reorganised,
    /// It says that there is nothing, and not what.
    Null,
    /// Nothing where a number was asked for.
    Empty,
    /// Answers to some of the calls.
    Short,
    /// Answers in another order than the calls'.
    Shuffled,
}

#[derive(Debug)]
struct Stub {
    manner: Mutex<Manner>,
    /// How many calls each request had.
    requests: Mutex<Vec<usize>>,
}

impl Stub {
    fn result(&self, call: &Value) -> Value {
        let manner = *self.manner.lock().unwrap();
        let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": call["id"], "result": result });
        let hash = if manner == Manner::Reorganised { B256::repeat_byte(0x18) } else { PIN.hash };
        let is_at_block = call["params"].as_array().and_then(|params| params.last()) == Some(&json!("0x11"));
        match call["method"].as_str().unwrap() {
            "eth_chainId" => answer(json!("0x384")),
            "eth_getBlockByNumber" if manner == Manner::NoBlock => answer(Value::Null),
            "eth_getBlockByNumber" => answer(json!({ "number": "0x11", "hash": hash, "extraData": "0x" })),
            method if !is_at_block => panic!("{method} of another block: {call}"),
            _ if manner == Manner::Pruned => {
                let error = json!({ "code": -32_000, "message": "missing trie node" });
                json!({ "jsonrpc": "2.0", "id": call["id"], "error": error })
            }
            _ if manner == Manner::Null => answer(Value::Null),
            _ if manner == Manner::Empty => answer(json!("0x")),
            "eth_getTransactionCount" => answer(json!("0x3")),
            "eth_getBalance" => answer(json!(U256::from(address(call)[0]))),
            "eth_getCode" => answer(json!("0x6001")),
            "eth_getStorageAt" => answer(call["params"][1].clone()),
            other => panic!("{other}"),
        }
    }
}

/// The address that a call is about.
fn address(call: &Value) -> Address {
    call["params"][0].as_str().unwrap().parse().unwrap()
}

async fn answer(State(stub): State<Arc<Stub>>, Json(body): Json<Value>) -> Response {
    let manner = *stub.manner.lock().unwrap();
    let calls = body.as_array().map_or(1, Vec::len);
    stub.requests.lock().unwrap().push(calls);
    match (manner, &body) {
        (Manner::Busy(left), _) => {
            *stub.manner.lock().unwrap() = if left > 1 { Manner::Busy(left - 1) } else { Manner::Honest };
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        (Manner::OneByOne, Value::Array(_)) => {
            let error = json!({ "code": -32_600, "message": "batches are not served" });
            Json(json!({ "jsonrpc": "2.0", "id": null, "error": error })).into_response()
        }
        (_, Value::Array(calls)) => {
            let mut answers: Vec<Value> = calls.iter().map(|call| stub.result(call)).collect();
            match manner {
                Manner::Short => drop(answers.pop()),
                Manner::Shuffled => answers.reverse(),
                _ => {}
            }
            Json(answers).into_response()
        }
        (_, call) => Json(stub.result(call)).into_response(),
    }
}

/// An endpoint of this manner, and what is pinned there.
async fn pinned_at(manner: Manner) -> (Arc<Stub>, Pinned) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stub = Arc::new(Stub { manner: Mutex::new(manner), requests: Mutex::default() });
    let app = Router::new().route("/", post(answer)).with_state(Arc::clone(&stub));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (stub, Pinned::at(pinned::endpoint(&url).unwrap(), PIN))
}

async fn read(pinned: &Pinned) -> Result<(Account, U256), PinError> {
    let (address, slot) = (Address::repeat_byte(9), (Address::repeat_byte(9), U256::from(77)));
    let mut values = pinned.read(&[address], &[slot]).await?;
    Ok((values.accounts.remove(0), values.slots.remove(0)))
}

#[tokio::test]
async fn values_come_in_one_request_which_shows_the_block_too() {
    for manner in [Manner::Honest, Manner::Shuffled] {
        let (stub, pinned) = pinned_at(manner).await;
        let (account, slot) = read(&pinned).await.unwrap();
        let code = hex!("6001").into();
        assert_eq!(account, Account { nonce: 3, balance: U256::from(9), code });
        assert_eq!((slot, stub.requests.lock().unwrap().as_slice()), (U256::from(77), &[5][..]));
    }
}

#[tokio::test]
async fn many_values_come_in_batches_of_a_bounded_size_and_in_order() {
    let (stub, pinned) = pinned_at(Manner::Honest).await;
    let accounts: Vec<Address> = (0..80).map(Address::repeat_byte).collect();
    let slots: Vec<_> = (0..300).map(|slot| (Address::ZERO, U256::from(slot))).collect();
    let values = pinned.read(&accounts, &slots).await.unwrap();
    assert!(values.accounts.iter().zip(0..80).all(|(account, number)| account.balance == U256::from(number)));
    assert!(values.slots.iter().zip(0..300).all(|(slot, number)| *slot == U256::from(number)));
    let requests = stub.requests.lock().unwrap().clone();
    assert!(requests.iter().all(|calls| *calls <= CALLS_PER_BATCH_COUNT_MAX), "{requests:?}");
    assert_eq!(requests.len(), (3_usize * 80 + 300).div_ceil(CALLS_PER_BATCH_COUNT_MAX - 1));
}

#[tokio::test]
async fn an_endpoint_without_batches_is_asked_call_by_call() {
    let (_, pinned) = pinned_at(Manner::OneByOne).await;
    assert_eq!(read(&pinned).await.unwrap().1, U256::from(77));
}

#[tokio::test]
async fn an_endpoint_that_is_busy_is_asked_again_and_not_for_ever() {
    let (stub, pinned) = pinned_at(Manner::Busy(3)).await;
    assert_eq!(read(&pinned).await.unwrap().1, U256::from(77));
    assert_eq!(stub.requests.lock().unwrap().len(), 4);
    *stub.manner.lock().unwrap() = Manner::Busy(usize::MAX);
    let refused = read(&pinned).await.unwrap_err();
    assert!(matches!(refused, PinError::Endpoint { source: EndpointError::Status(503), .. }), "{refused}");
}

#[tokio::test]
async fn nothing_but_a_value_is_taken_for_one() {
    for (manner, words) in [
        (Manner::Pruned, "missing trie node"),
        (Manner::NoBlock, "has no block 17"),
        (Manner::Reorganised, "it is another chain now"),
        (Manner::Null, "not a number"),
        (Manner::Empty, "not a number"),
        (Manner::Short, "an answer missing"),
    ] {
        let (_, pinned) = pinned_at(manner).await;
        let refused = read(&pinned).await.unwrap_err().to_string();
        assert!(refused.contains(words) && refused.contains("127.0.0.1"), "{manner:?}: {refused}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_within_seconds() {
    let pinned = Pinned::at(pinned::endpoint("http://127.0.0.1:1").unwrap(), PIN);
    let refused = read(&pinned).await.unwrap_err();
    assert!(matches!(refused, PinError::Endpoint { source: EndpointError::Unreachable(_), .. }), "{refused}");
}

#[tokio::test]
async fn a_block_is_pinned_by_its_number_and_its_hash() {
    let (stub, pinned) = pinned_at(Manner::Honest).await;
    pinned.check().await.unwrap();
    *stub.manner.lock().unwrap() = Manner::Reorganised;
    assert!(matches!(pinned.check().await, Err(PinError::OtherBlock { .. })));
    *stub.manner.lock().unwrap() = Manner::NoBlock;
    assert!(matches!(pinned.check().await, Err(PinError::NoBlock { number: 17, .. })));
}

#[test]
fn what_is_no_url_of_an_endpoint_is_refused_in_a_sentence() {
    for url in ["", "mainnet", "ws://127.0.0.1:8545", "http://", "127.0.0.1:8545"] {
        let refused = pinned::endpoint(url).unwrap_err().to_string();
        assert!(refused.contains("is not the URL of a JSON-RPC endpoint"), "{refused}");
    }
    assert_eq!(pinned::endpoint("https://example.org/v2/secret").unwrap().name(), "example.org");
}
