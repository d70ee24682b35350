//! Ethereum JSON-RPC: whatever is asked, the answer is JSON with a result or an error, and the chain is only asked for what
//! it has.

use crate::chain::MemoryChain;
use crate::sample;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;

/// Methods by the first byte of the input.
const METHODS: &[&str] = &[
    "eth_getBalance",
    "eth_getTransactionCount",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getProof",
    "eth_call",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_sendRawTransaction",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getBlockReceipts",
    "eth_getLogs",
    "eth_newFilter",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_uninstallFilter",
    "web3_sha3",
    "eth_subscribe",
    "eth_unsubscribe",
    "eth_chainId",
    "eth_blockNumber",
    "eth_gasPrice",
    "eth_fillTransaction",
    "eth_getStorageValues",
    "eth_newPendingTransactionFilter",
    "eth_getUncleCountByBlockHash",
    "txpool_contentFrom",
    "debug_getRawReceipts",
];

/// Nothing in it changes, and its transactions take signatures to make.
static CHAIN: LazyLock<Arc<MemoryChain>> = LazyLock::new(|| Arc::new(MemoryChain::new()));

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(runtime());
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A request as text, and parameters of a method by the first byte.
pub fn json_rpc(data: &[u8]) {
    let Some((first, params)) = data.split_first() else { return };
    let methods = wire::jsonrpc::methods(Arc::clone(&CHAIN)).expect("methods have names of their own");
    let ask = |request: &str| {
        RUNTIME
            .with_borrow(|runtime| runtime.block_on(methods.raw_json_request(request, 1)))
            .ok()
            .map(|(answer, _)| answer)
    };
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(answer) = ask(text)
    {
        check(answer.get());
    }
    let Ok(params) = serde_json::from_slice::<Value>(params) else { return };
    let method = METHODS[usize::from(*first) % METHODS.len()];
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = ask(&request.to_string());
    check(answer.as_ref().expect("a request is answered").get());
}

fn check(answer: &str) {
    let answer: Value = serde_json::from_str(answer).expect("an answer is JSON");
    let (result, error) = (answer.get("result"), answer.get("error"));
    assert!(result.is_some() != error.is_some(), "a result or an error: {answer}");
    let code = error.and_then(|error| error["code"].as_i64());
    assert_ne!(code, Some(-32603), "a fault of our own: {answer}");
}

pub(crate) fn json_rpc_seeds() -> Vec<Vec<u8>> {
    let (address, hash) = (sample::user(2).address(), alloy_primitives::keccak256(&sample::transactions()[0]));
    let raw = format!("0x{}", hex::encode(&sample::transactions()[2]));
    let call = json!({ "from": address, "to": address, "data": "0xff01", "value": "0x1", "gas": "0x5208" });
    let filter = json!({ "fromBlock": "0x3e8", "toBlock": "latest", "address": [address], "topics": [null, [hash]] });
    let params: &[(&str, Value)] = &[
        ("eth_getBalance", json!([address, "latest"])),
        ("eth_getTransactionCount", json!([address, "pending"])),
        ("eth_getStorageAt", json!([address, "0x1", { "blockNumber": "0x4b0" }])),
        ("eth_getProof", json!([address, ["0x1"], "latest"])),
        ("eth_call", json!([call, { "blockHash": hash }])),
        ("eth_call", json!([call, "latest", {}])),
        ("eth_estimateGas", json!([call])),
        ("eth_feeHistory", json!(["0x5", "latest", [10.0, 90.0]])),
        ("eth_feeHistory", json!([5, "0x3f2", []])),
        ("eth_fillTransaction", json!([call])),
        ("eth_getStorageValues", json!([{ address.to_string(): ["0x1", "0x02"] }, "latest"])),
        ("debug_getRawReceipts", json!(["0x3f2"])),
        ("txpool_contentFrom", json!([address])),
        ("eth_sendRawTransaction", json!([raw])),
        ("eth_getTransactionByHash", json!([hash])),
        ("eth_getTransactionReceipt", json!([hash])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x3f2", "0x1"])),
        ("eth_getBlockByNumber", json!(["0x4a6", true])),
        ("eth_getBlockByHash", json!([hash, false])),
        ("eth_getBlockReceipts", json!(["earliest"])),
        ("eth_getLogs", json!([filter])),
        ("eth_getLogs", json!([{ "blockHash": hash }])),
        ("eth_newFilter", json!([filter])),
        ("eth_getFilterChanges", json!(["0x1"])),
        ("eth_subscribe", json!(["newHeads"])),
    ];
    let place = |name: &str| METHODS.iter().position(|method| *method == name).unwrap_or_default() as u8;
    let seeds = params.iter().map(|(method, params)| [&[place(method)], params.to_string().as_bytes()].concat());
    seeds.chain([br#"{"jsonrpc":"2.0","id":"a","method":"net_version"}"#.to_vec()]).collect()
}
