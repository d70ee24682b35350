//! Processes that stop and come back: a drain loses nothing, and a killed shard is serving again soon.
//!
//! Prints how long coming back takes, on this machine, with other tests beside it.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::Node;
use dovetail_tests::audit::{audit, locked};
use dovetail_tests::chance::Chance;
use dovetail_tests::load::{Load, Mix};
use dovetail_tests::testnet::Testnet;
use std::time::{Duration, Instant};

/// Users at work.
const USERS_COUNT: u32 = 8;

/// Most transactions of one user.
const TRANSACTIONS_COUNT_MAX: usize = 60;

/// A shard's store is small here: readiness is the time of a start, not of a recovery by size.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// An attempt whose shard died has its deadline ahead of it; what its coordinator carries on ends long before.
const DECIDED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_asked_to_stop_under_load_drains_and_loses_nothing() {
    let chance = Chance::announced();
    let mut net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    for node in [Node::Executor(0), Node::Coordinator(0), Node::Relay(0), Node::Executor(2), Node::Coordinator(1)] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let asked = Instant::now();
        // An end that is not clean, or none, is an error.
        net.cluster.terminate(node).unwrap();
        let drained = asked.elapsed();
        net.cluster.restart(node).unwrap();
        net.cluster.wait_ready(node).unwrap();
        println!("{node}: drained within {drained:?}, ready again {:?} after it was asked to stop", asked.elapsed());
    }
    let diaries = load.end().await.unwrap();
    audit(net, &diaries).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_killed_under_load_serves_again_and_leaves_nothing_undecided() {
    let chance = Chance::announced();
    let mut net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let shard = Node::Executor(1);
    net.cluster.kill(shard).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    net.cluster.restart(shard).unwrap();
    net.cluster.wait_ready(shard).unwrap();
    let ready = begun.elapsed();
    let diaries = load.end().await.unwrap();
    let client = net.cluster.client(0).unwrap();
    while !locked(&net, &client).await.unwrap().is_empty() {
        assert!(begun.elapsed() < DECIDED_WITHIN, "keys are locked {DECIDED_WITHIN:?} after the shard came back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let decided = begun.elapsed();
    println!("{shard} killed under load: ready {ready:?} after its start, nothing undecided {decided:?} after it");
    assert!(ready < READY_WITHIN, "ready only after {ready:?}");
    audit(net, &diaries).await.unwrap();
}
