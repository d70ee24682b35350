//! A network that nobody writes to writes nothing, whoever looks at it.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::{Cluster, Node, Plan};
use dovetail_tests::operator::metric;
use dovetail_tests::testnet::{SHARDS_COUNT, program};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long it is looked at.
const LOOKING: Duration = Duration::from_secs(6);

/// Batches that a shard may still write when it has just started: genesis and the first state roots.
const SETTLING: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_network_that_is_looked_at_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { program: program().unwrap(), ..Plan::development(SHARDS_COUNT).unwrap() };
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    let client = cluster.client(0).unwrap();
    let batches = || -> Vec<u64> {
        let count = |shard| metric(&cluster, Node::Executor(shard), "dovetail_host_batches_total").unwrap();
        (0..SHARDS_COUNT).map(count).collect()
    };
    tokio::time::sleep(SETTLING).await;
    let (before, begun, mut heads) = (batches(), Instant::now(), Vec::new());
    while begun.elapsed() < LOOKING {
        // A head follower, as a wallet is one.
        let head: String = client.rpc().request("eth_blockNumber", json!([])).await.unwrap();
        let block: Value = client.rpc().request("eth_getBlockByNumber", json!([head, true])).await.unwrap();
        assert_eq!(block["number"], json!(head));
        let unknown = format!("{:#066x}", heads.len() + 1);
        let receipt: Value = client.rpc().request("eth_getTransactionReceipt", json!([unknown])).await.unwrap();
        assert_eq!(receipt, Value::Null);
        heads.push(head);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    heads.dedup();
    assert!(heads.len() > 10, "the head moved while it was looked at: {heads:?}");
    assert_eq!(batches(), before, "an idle network wrote something in {LOOKING:?}");
    cluster.stop().unwrap();
}
