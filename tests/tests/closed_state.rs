//! State after a closed block: what was read of it once is told again without its shard, and is never that of another block.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, Bytes, U256};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use dovetail_tests::operator::until;
use dovetail_tests::testnet::program;
use fixtures::contracts::Artifact;
use fixtures::wallet::{Call, Wallet};
use primitives::ShardId;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

/// The shard that goes.
const GONE: ShardId = ShardId(1);

/// How soon a receipt is there, and a refusal once a shard is gone.
const WITHIN: Duration = Duration::from_secs(20);

/// Counts that are read, each after its own block.
const COUNTS: u64 = 5;

fn network() -> (TempDir, Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { program: program().unwrap(), relays: 0, ..Plan::development(2).unwrap() };
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    (dir, cluster)
}

/// The number of the block that shows a call.
async fn shown(client: &Client, wallet: &mut Wallet, call: &Call) -> Value {
    let hash = json!(client.succeed(wallet, call).await.unwrap().first().unwrap().transaction.unwrap());
    let told = async || {
        let receipt: Value = client.rpc().request("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(receipt.get("blockNumber").cloned())
    };
    until("a receipt", WITHIN, told).await.unwrap()
}

/// A contract on the shard that goes, by whichever wallet creates one there.
async fn counter(client: &Client, cluster: &Cluster) -> (Wallet, Address) {
    let network = cluster.network().params.network.0;
    let is_there = |wallet: &Wallet| cluster.network().placement.shard_of(wallet.next_contract()) == GONE;
    let mut wallet = (0..10).map(|number| Wallet::development(network, number).unwrap()).find(is_there).unwrap();
    let address = wallet.next_contract();
    shown(client, &mut wallet, &Call::create(Artifact::COUNTER.init_code(&[]).unwrap())).await;
    (wallet, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_of_a_closed_block_is_told_again_whatever_its_shard_does() {
    let (_dir, mut cluster) = network();
    let client = cluster.client(0).unwrap();
    let (mut wallet, counter) = counter(&client, &cluster).await;
    let selector = |signature: &str| Bytes::from(alloy_primitives::keccak256(signature)[..4].to_vec());
    let increment = Bytes::from([&selector("increment(uint256)")[..], &U256::ONE.to_be_bytes::<32>()].concat());
    let ask = async |block: &Value| {
        let call = json!([{ "to": counter, "data": selector("count()") }, block]);
        client.rpc().request::<U256>("eth_call", call).await
    };
    let mut told = Vec::new();
    for count in 1..=COUNTS {
        let block = shown(&client, &mut wallet, &Call::to(counter, increment.clone())).await;
        // Twice: the second time from what is known.
        for _ in 0..2 {
            assert_eq!(ask(&block).await.unwrap(), U256::from(count), "after block {block}");
        }
        told.push((block, U256::from(count)));
    }
    cluster.kill(Node::Executor(GONE.0)).unwrap();
    let refused = async || Ok(ask(&json!("latest")).await.err());
    let refusal = until("a refusal", WITHIN, refused).await.unwrap().to_string();
    assert!(refusal.contains("-32002"), "{refusal}");
    for (block, count) in told {
        assert_eq!(ask(&block).await.unwrap(), count, "after block {block}");
    }
}
