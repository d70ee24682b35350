//! Two nodes behind a balancer: at any time, and whatever kills one of them, both tell the same closed blocks and the same logs.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::Node;
use dovetail_tests::audit::audit;
use dovetail_tests::chance::Chance;
use dovetail_tests::load::{Load, Mix};
use dovetail_tests::testnet::Testnet;
use serde_json::{Value, json};
use std::time::Duration;

/// Users at work.
const USERS_COUNT: u32 = 6;

/// Most transactions of one user.
const TRANSACTIONS_COUNT_MAX: usize = 60;

/// How often the second node is killed.
const KILLS_COUNT: usize = 4;

/// How far the killed node may be behind, at most, when both are compared.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Blocks that both nodes are asked about while users are at work.
const LOOKS_COUNT: usize = 60;

/// How far below both heads they lie at most: some are asked for as soon as both have told of them.
const BELOW_HEAD_COUNT_MAX: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_never_disagree_about_a_closed_block_while_users_are_at_work() {
    let mut chance = Chance::announced();
    let net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    let clients = [net.cluster.client(0).unwrap(), net.cluster.client(1).unwrap()];
    let both = async |method: &str, params: Value| {
        let [one, other] = &clients;
        let (one, other) = (one.rpc(), other.rpc());
        tokio::try_join!(one.request::<Value>(method, params.clone()), other.request::<Value>(method, params)).unwrap()
    };
    let same = async |method: &str, params: Value| {
        let (one, other) = both(method, params.clone()).await;
        assert_eq!(one, other, "{method} {params}");
        one
    };
    let mut transactions = 0;
    for _ in 0..LOOKS_COUNT {
        let (one, other) = both("eth_blockNumber", json!([])).await;
        let below = chance.under(BELOW_HEAD_COUNT_MAX + 1);
        let at = format!("{:#x}", number(&one).min(number(&other)).saturating_sub(below));
        let block = same("eth_getBlockByNumber", json!([at, true])).await;
        assert!(block.is_object(), "block {at} is below both heads and not there");
        same("eth_getBlockByHash", json!([block["hash"], true])).await;
        same("eth_getBlockReceipts", json!([at])).await;
        same("eth_getLogs", json!([{ "fromBlock": at, "toBlock": at }])).await;
        for transaction in block["transactions"].as_array().unwrap() {
            transactions += 1;
            same("eth_getTransactionReceipt", json!([transaction["hash"]])).await;
            same("eth_getTransactionCount", json!([transaction["from"], at])).await;
            same("eth_getBalance", json!([transaction["to"].as_str().or(transaction["from"].as_str()), at])).await;
        }
        tokio::time::sleep(chance.millis(20, 150)).await;
    }
    let diaries = load.end().await.unwrap();
    assert!(transactions > 20, "{transactions} transactions were looked at");
    audit(net, &diaries).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_killed_while_they_follow_tell_the_same_closed_blocks_and_logs() {
    let mut chance = Chance::announced();
    let mut net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    for _ in 0..KILLS_COUNT {
        tokio::time::sleep(chance.millis(300, 1_500)).await;
        net.cluster.kill(Node::Coordinator(1)).unwrap();
        net.cluster.restart(Node::Coordinator(1)).unwrap();
        net.cluster.wait_ready(Node::Coordinator(1)).unwrap();
    }
    let diaries = load.end().await.unwrap();
    let clients = [net.cluster.client(0).unwrap(), net.cluster.client(1).unwrap()];
    let ask = async |node: usize, method: &str, params: Value| -> Value {
        clients[node].rpc().request(method, params).await.unwrap()
    };
    let head = number(&ask(0, "eth_blockNumber", json!([])).await);
    let begun = std::time::Instant::now();
    while number(&ask(1, "eth_blockNumber", json!([])).await) < head {
        assert!(begun.elapsed() < TOLD_WITHIN, "the killed node does not come to block {head}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (mut transactions, mut logs_told) = (0, 0);
    for slot in 0..=head {
        let block = json!([format!("{slot:#x}"), true]);
        let told = ask(0, "eth_getBlockByNumber", block.clone()).await;
        assert_eq!(ask(1, "eth_getBlockByNumber", block).await, told, "block {slot}");
        transactions += told["transactions"].as_array().unwrap().len();
        let at = format!("{slot:#x}");
        let logs = ask(0, "eth_getLogs", json!([{ "fromBlock": at, "toBlock": at }])).await;
        logs_told += logs.as_array().unwrap().len();
    }
    assert!(transactions > 40 && logs_told > 0, "{transactions} transactions, {logs_told} logs");
    let all = json!([{ "fromBlock": "0x0", "toBlock": format!("{head:#x}") }]);
    let logs = ask(0, "eth_getLogs", all.clone()).await;
    assert_eq!(logs.as_array().unwrap().len(), logs_told, "a range has the logs of its blocks");
    assert_eq!(ask(1, "eth_getLogs", all).await, logs);
    for log in logs.as_array().unwrap().iter().step_by(7) {
        let query = json!([{ "fromBlock": "0x0", "toBlock": format!("{head:#x}"), "address": log["address"], "topics": log["topics"] }]);
        let found = ask(1, "eth_getLogs", query).await;
        let found = found.as_array().unwrap();
        assert!(found.contains(log), "{log}");
        let is_same = |other: &&Value| other["address"] == log["address"] && other["topics"] == log["topics"];
        assert_eq!(found.len(), logs.as_array().unwrap().iter().filter(is_same).count());
    }
    audit(net, &diaries).await.unwrap();
}
