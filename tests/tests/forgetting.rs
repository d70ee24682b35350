//! Shards that keep seconds of what their blocks did: what went is told to have gone, and the network goes on, on real processes.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, U256};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use dovetail_tests::operator::{log, until};
use dovetail_tests::testnet::program;
use fixtures::wallet::{Call, Wallet};
use primitives::{Height, ShardId};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wire::Reason;
use wire::shard::OutcomePlace;

const COORDINATOR: Node = Node::Coordinator(0);
const SHARD: Node = Node::Executor(0);

/// For how long shards keep what their blocks did.
const KEPT_S: &str = "2";

/// How soon it is seen that they do.
const WITHIN: Duration = Duration::from_secs(40);

/// How long a coordinator is away: several times as long as anything is kept.
const AWAY: Duration = Duration::from_secs(8);

/// A payment to somebody: every other one is on the other shard.
async fn pay(client: &Client, wallet: &mut Wallet, number: u8) -> Value {
    let call = Call::to(Address::repeat_byte(number), Vec::new()).with_value(U256::ONE);
    json!(client.succeed(wallet, &call).await.unwrap().first().unwrap().transaction.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_forget_what_old_blocks_did_say_so_and_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let kept = ["BODIES_S", "HISTORY_S"].map(|field| (format!("DOVETAIL_EXECUTOR_{field}"), KEPT_S.to_owned()));
    let plan = Plan {
        program: program().unwrap(),
        coordinators: 2,
        relays: 1,
        environment: kept.into(),
        ..Plan::development(2).unwrap()
    };
    let mut cluster = Cluster::start(plan, dir.path()).unwrap();
    let client = cluster.client(0).unwrap();
    let mut wallet = Wallet::development(cluster.network().params.network.0, 0).unwrap();
    let first = pay(&client, &mut wallet, 1).await;
    let shard = client.shard(ShardId(0)).clone();
    let mut number = 1;
    let forgotten = async || {
        number = number % 200 + 1;
        pay(&client, &mut wallet, number).await; // Time passes with blocks.
        Ok(shard.tell_log(OutcomePlace { height: Height(1), index: 0 }).await.err())
    };
    let refused = until("the first block is forgotten", WITHIN, forgotten).await.unwrap();
    assert_eq!(refused.reason, Reason::Pruned, "{refused}");
    assert!(refused.to_string().contains("keeps it from block"), "{refused}");
    assert_eq!(shard.blocks(Height(1), 1).await.unwrap().len(), 1, "headers stay");
    // Who read it in time has it still, and a shard that comes back goes on.
    let receipt: Value = client.rpc().request("eth_getTransactionReceipt", json!([first])).await.unwrap();
    assert_eq!(receipt["status"], "0x1");
    cluster.kill(SHARD).unwrap();
    cluster.restart(SHARD).unwrap();
    cluster.wait_ready(SHARD).unwrap();
    pay(&client, &mut wallet, 7).await;
    // One that is new begins where the shards do.
    cluster.terminate(COORDINATOR).unwrap();
    std::fs::remove_dir_all(dir.path().join(COORDINATOR.to_string()).join("index")).unwrap();
    cluster.restart(COORDINATOR).unwrap();
    cluster.wait_ready(COORDINATOR).unwrap();
    let newest = pay(&client, &mut wallet, 9).await;
    let told = async || {
        let receipt: Value = client.rpc().request("eth_getTransactionReceipt", json!([newest])).await?;
        Ok(receipt.is_object().then_some(()))
    };
    until("a receipt of what came after", WITHIN, told).await.unwrap();
    let old = &receipt["blockNumber"];
    let refused = client.rpc().request::<Value>("eth_getBlockByNumber", json!([old, false])).await.unwrap_err();
    assert!(refused.to_string().contains("is the oldest that this node has"), "{refused}");
    // One that was away for longer than shards keep anything has a gap, and says so.
    cluster.terminate(COORDINATOR).unwrap();
    let (other, begun) = (cluster.client(1).unwrap(), Instant::now());
    let forgotten = async || {
        number = number % 200 + 1;
        pay(&other, &mut wallet, number).await;
        Ok((begun.elapsed() > AWAY).then_some(()))
    };
    until("more is forgotten", WITHIN, forgotten).await.unwrap();
    cluster.restart(COORDINATOR).unwrap();
    let said = async || {
        let said = log(&cluster, COORDINATOR)?;
        Ok(said.contains("has forgotten what comes next here").then_some(said))
    };
    let said = until("the coordinator says that its index cannot go on", WITHIN, said).await.unwrap();
    assert!(said.contains("begins anew where the shards' nodes do"), "{said}");
    cluster.stop().unwrap();
}
