//! A chain index that does not keep everything, and one that cannot be written: both say so, and neither tells what is not whole.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{U256, hex};
use alloy_sol_types::{SolCall, SolConstructor};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use dovetail_tests::operator::{log, until};
use dovetail_tests::testnet::program;
use fixtures::contracts::{Artifact, Token};
use fixtures::wallet::{Call, Wallet};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NODE: Node = Node::Coordinator(0);

/// How soon a node ends whose index failed, and how soon a node tells what it is waited for here.
const WITHIN: Duration = Duration::from_secs(20);

/// How soon 128 blocks of this network and an eighth more are over: some 8 s.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(40);

fn network(environment: &[(&str, &str)]) -> (TempDir, Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let plan =
        Plan { program: program().unwrap(), relays: 0, slot_ms: 50, environment, ..Plan::development(1).unwrap() };
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    (dir, cluster)
}

/// A token's deployment and a mint: each the hash of its transaction.
async fn deploy_and_mint(client: &Client, wallet: &mut Wallet) -> [Value; 2] {
    let (token, arguments) =
        (wallet.next_contract(), Token::constructorCall { name: "Gold".into(), symbol: "G".into() });
    let mint = Token::mintCall { to: wallet.address(), amount: U256::from(7) };
    let code = Artifact::TOKEN.init_code(&arguments.abi_encode()).unwrap();
    let calls = [Call::create(code), Call::to(token, mint.abi_encode())];
    let mut hashes = Vec::new();
    for call in &calls {
        hashes.push(json!(client.succeed(wallet, call).await.unwrap().first().unwrap().transaction.unwrap()));
    }
    hashes.try_into().unwrap()
}

async fn receipt(client: &Client, hash: &Value) -> Value {
    let told = async || {
        let receipt: Value = client.rpc().request("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(receipt.is_object().then_some(receipt))
    };
    until("a receipt", WITHIN, told).await.unwrap()
}

/// Everything that can be asked about old blocks, of which `receipt` is in one.
fn questions(receipt: &Value) -> Vec<(&'static str, Value)> {
    let (hash, block, number) = (&receipt["transactionHash"], &receipt["blockHash"], &receipt["blockNumber"]);
    let (sender, contract) = (&receipt["from"], &receipt["contractAddress"]);
    vec![
        ("eth_getBlockByNumber", json!([number, false])),
        ("eth_getBlockByNumber", json!(["earliest", false])),
        ("eth_getBlockByHash", json!([block, false])),
        ("eth_getBlockTransactionCountByNumber", json!([number])),
        ("eth_getBlockTransactionCountByHash", json!([block])),
        ("eth_getTransactionByBlockNumberAndIndex", json!([number, "0x0"])),
        ("eth_getTransactionByBlockHashAndIndex", json!([block, "0x0"])),
        ("eth_getTransactionByHash", json!([hash])),
        ("eth_getTransactionReceipt", json!([hash])),
        ("dovetail_transactionStatus", json!([hash])),
        ("eth_getBlockReceipts", json!([number])),
        ("eth_getLogs", json!([{ "fromBlock": number, "toBlock": "latest" }])),
        ("eth_getLogs", json!([{ "fromBlock": "0x0", "toBlock": "latest", "address": contract }])),
        ("eth_getLogs", json!([{ "fromBlock": number, "toBlock": number }])),
        ("eth_getLogs", json!([{ "blockHash": block }])),
        ("eth_feeHistory", json!(["0x1", number, []])),
        ("debug_getRawReceipts", json!([number])),
        ("debug_getRawTransaction", json!([hash])),
        ("debug_traceTransaction", json!([hash])),
        ("debug_traceBlockByNumber", json!([number])),
        ("trace_block", json!([number])),
        ("trace_transaction", json!([hash])),
        ("trace_filter", json!([{ "fromBlock": number, "toBlock": number }])),
        ("ots_getTransactionBySenderAndNonce", json!([sender, 0])),
        ("ots_searchTransactionsAfter", json!([contract, 0, 5])),
        ("ots_searchTransactionsBefore", json!([contract, 0, 5])),
        ("ots_getContractCreator", json!([contract])),
        ("ots_getBlockDetails", json!([number])),
    ]
}

async fn assert_refused(client: &Client, receipt: &Value) {
    for (method, params) in questions(receipt) {
        let answer = client.rpc().request::<Value>(method, params.clone()).await;
        let refusal = answer.expect_err(&format!("{method} {params} is of a block that is not kept")).to_string();
        let is_named = refusal.contains("4444") && refusal.contains("is the oldest that this node has");
        assert!(is_named, "{method} {params}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_is_refused_with_the_oldest_block_that_is_and_never_told_as_nothing() {
    let (_dir, mut cluster) = network(&[("DOVETAIL_COORDINATOR_INDEX_KEEP_S", "1")]);
    let client = cluster.client(0).unwrap();
    let mut wallet = Wallet::development(cluster.network().params.network.0, 0).unwrap();
    let [created, _] = deploy_and_mint(&client, &mut wallet).await;
    let old = receipt(&client, &created).await;
    let forgotten = async || {
        let answer = client.rpc().request::<Value>("eth_getBlockByNumber", json!([old["blockNumber"], false])).await;
        Ok(answer.is_err().then_some(()))
    };
    until("the block is forgotten", FORGOTTEN_WITHIN, forgotten).await.unwrap();
    let [_, minted] = deploy_and_mint(&client, &mut wallet).await;
    let new = receipt(&client, &minted).await;
    assert_refused(&client, &old).await;
    // What is kept is told as ever, and state has a window of its own.
    let at = &new["blockNumber"];
    let logs: Value = client.rpc().request("eth_getLogs", json!([{ "fromBlock": at, "toBlock": at }])).await.unwrap();
    assert_eq!(logs, new["logs"]);
    let before: Value =
        client.rpc().request("eth_getCode", json!([old["contractAddress"], old["blockNumber"]])).await.unwrap();
    assert!(hex::decode(before.as_str().unwrap()).unwrap().len() > 100);
    cluster.terminate(NODE).unwrap();
    cluster.restart_with(NODE, &[("DOVETAIL_COORDINATOR_INDEX_KEEP_S".to_owned(), "1000000".to_owned())]).unwrap();
    cluster.wait_ready(NODE).unwrap();
    assert_eq!(receipt(&client, &minted).await, new);
    // More is kept from now on, but what was forgotten does not come back.
    assert_refused(&client, &old).await;
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_index_cannot_be_written_ends_and_has_told_no_block_that_was_not_whole() {
    let (dir, mut cluster) = network(&[]);
    let client = cluster.client(0).unwrap();
    let mut wallet = Wallet::development(cluster.network().params.network.0, 0).unwrap();
    let [created, _] = deploy_and_mint(&client, &mut wallet).await;
    receipt(&client, &created).await;
    let index = dir.path().join(NODE.to_string()).join("index");
    std::fs::remove_dir_all(&index).unwrap();
    let (begun, mut told) = (Instant::now(), BTreeMap::new());
    while !cluster.has_exited(NODE) {
        assert!(begun.elapsed() < WITHIN, "it goes on without its index");
        if let Ok(block) = client.rpc().request::<Value>("eth_getBlockByNumber", json!(["latest", true])).await {
            told.insert(block["number"].to_string(), block);
        }
    }
    let said = log(&cluster, NODE).unwrap();
    assert!(said.contains("a task failed, the process ends") && said.contains("index"), "{said}");
    cluster.reap(NODE);
    cluster.restart(NODE).unwrap();
    cluster.wait_ready(NODE).unwrap();
    receipt(&client, &created).await;
    for (_, block) in told {
        let again: Value = client.rpc().request("eth_getBlockByNumber", json!([block["number"], true])).await.unwrap();
        assert_eq!(again, block, "what was told last is what is told for ever");
    }
    cluster.stop().unwrap();
}
