//! A shard that is gone: the others go on, are told of, and everybody who is asked says which one it is.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::{Cluster, Node, Plan};
use dovetail_tests::operator::{log, readiness, until};
use dovetail_tests::testnet::{SHARDS_COUNT, program};
use host::network::NetworkFile;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The shard that goes.
const GONE: u32 = 2;

/// How soon everybody says so.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

fn network() -> (TempDir, Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { program: program().unwrap(), relays: 1, ..Plan::development(SHARDS_COUNT).unwrap() };
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    (dir, cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_lost_is_named_by_all_and_once_in_their_logs() {
    let (_dir, mut cluster) = network();
    cluster.kill(Node::Executor(GONE)).unwrap();
    let others = [Node::Executor(0), Node::Executor(1), Node::Coordinator(0), Node::Relay(0)];
    for node in others {
        until("word of the lost shard", TOLD_WITHIN, async || {
            let (ready, text) = readiness(&cluster, node)?;
            assert!(ready, "{node} can serve what does not need shard {GONE}: {text}");
            Ok(text.contains(&format!("shard {GONE} has not answered for ")).then_some(()))
        })
        .await
        .unwrap();
    }
    cluster.restart(Node::Executor(GONE)).unwrap();
    cluster.wait_ready(Node::Executor(GONE)).unwrap();
    for node in others {
        let well = async || Ok((readiness(&cluster, node)?.1 == "ready\n").then_some(()));
        until("end of the complaint", TOLD_WITHIN, well).await.unwrap();
        let log = log(&cluster, node).unwrap();
        for line in ["a peer is lost", "a peer is back"] {
            assert_eq!(log.matches(line).count(), 1, "{node} says \"{line}\" once:\n{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_reaches_no_shard_is_not_ready() {
    let (_dir, mut cluster) = network();
    for shard in 0..SHARDS_COUNT {
        cluster.kill(Node::Executor(shard)).unwrap();
    }
    until("word that nothing can be served", TOLD_WITHIN, async || {
        let (ready, text) = readiness(&cluster, Node::Coordinator(0))?;
        Ok((!ready && (0..SHARDS_COUNT).all(|shard| text.contains(&format!("shard {shard} has not")))).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_of_another_network_does_not_start_and_names_both_sides() {
    let (_dir, mut cluster) = network();
    cluster.kill(Node::Coordinator(0)).unwrap();
    let text = std::fs::read_to_string(cluster.network_path()).unwrap();
    let ours: NetworkFile = toml::from_str(&text).unwrap();
    let others = [
        (NetworkFile { slot_ms: 500, ..ours.clone() }, ["slots of 500 ms", "slots of 250 ms"]),
        (NetworkFile { base_fee_wei: 7, ..ours.clone() }, ["base fee 7 wei", "base fee 1000000000 wei"]),
        (NetworkFile { genesis: None, ..ours.clone() }, ["genesis 0x", "genesis 0x"]),
        (NetworkFile { pinned: [(alloy_primitives::Address::ZERO, 1)].into(), ..ours }, ["placement 1", "placement 1"]),
    ];
    for (other, sides) in others {
        std::fs::write(cluster.network_path(), toml::to_string(&other).unwrap()).unwrap();
        let started = Command::new(program().unwrap())
            .args(["coordinator", "--config"])
            .arg(cluster.settings_path(Node::Coordinator(0)))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(!started.status.success(), "{told}");
        for words in ["is of another network", "there: ", "here: ", sides[0], sides[1]] {
            assert!(told.contains(words), "{words:?} is in what it says: {told}");
        }
    }
}
