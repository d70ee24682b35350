//! An upgrade: every process ends and starts anew, one after another, under load.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::Node;
use cluster::client::Ended;
use dovetail_tests::audit::audit;
use dovetail_tests::chance::Chance;
use dovetail_tests::load::{Action, Diary, Entry, Load, Mix};
use dovetail_tests::operator::readiness;
use dovetail_tests::testnet::{Testnet, program};
use fixtures::wallet::Wallet;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use wire::Reason;

/// Users at work.
const USERS_COUNT: u32 = 8;

/// Most transactions of one user.
const TRANSACTIONS_COUNT_MAX: usize = 200;

/// Transactions that end between one restart and the next.
const TRANSACTIONS_BETWEEN_COUNT: usize = 10;

/// How long a process may take from SIGTERM until it is ready again, its store being small.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What a client is told of a submission that it has to make again, or that it made before: all that an upgrade may tell it.
fn is_told_to_go_on(entry: &Entry) -> bool {
    entry.refused.iter().all(|(tries, rejection)| {
        let was_sent_before = *tries > 1 && matches!(rejection.reason, Reason::AlreadyKnown | Reason::NonceTooLow);
        rejection.is_retryable() || was_sent_before
    })
}

/// `DOVETAIL_PREVIOUS` names the program that the network begins with; without it the network begins with this one.
#[tokio::test(flavor = "multi_thread")]
async fn every_process_starts_anew_one_after_another_under_load_and_no_client_is_told_to_give_up() {
    let chance = Chance::announced();
    let previous = std::env::var_os("DOVETAIL_PREVIOUS").map(PathBuf::from);
    let before = previous.clone().map_or_else(program, Ok).unwrap();
    let mut net = Testnet::start_with(before, 2, USERS_COUNT + 1).await.unwrap();
    // Whoever looks whether a node that says it is ready is so.
    let mut prober = net.users.pop().unwrap();
    let mut looks = Diary { user: prober.address(), first_nonce: prober.nonce(), entries: Vec::new() };
    net.cluster.upgrade(program().unwrap());
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    for node in net.nodes() {
        load.goes_on_for(TRANSACTIONS_BETWEEN_COUNT).await;
        let asked = Instant::now();
        net.cluster.terminate(node).unwrap();
        assert!(readiness(&net.cluster, node).is_err(), "{node} has ended");
        let drained = asked.elapsed();
        net.cluster.restart(node).unwrap();
        net.cluster.wait_ready(node).unwrap();
        let ready = asked.elapsed();
        looks.entries.push(probe(&net, node, &mut prober).await);
        println!("{node}: drained within {drained:?}, ready {ready:?} after it was asked to end");
        assert!(ready < READY_WITHIN, "{node}: ready only after {ready:?}");
    }
    let mut diaries = load.end().await.unwrap();
    diaries.push(looks);
    for entry in diaries.iter().flat_map(|diary| &diary.entries) {
        assert!(is_told_to_go_on(entry), "{}: {:?}", entry.transaction, entry.refused);
    }
    audit(net, &diaries).await.unwrap();
}

/// A node that says that it is ready serves: a transaction of all shards, sent once, is committed.
async fn probe(net: &Testnet, node: Node, prober: &mut Wallet) -> Entry {
    let begun = Instant::now();
    let coordinator = if let Node::Coordinator(number) = node { number } else { 0 };
    let client = net.cluster.client(coordinator).unwrap();
    let signed = prober.sign(&net.contracts.count()).unwrap();
    match client.submit(signed).await {
        Ok(Ended::Committed(settled)) => Entry {
            action: Action::Count,
            transaction: settled.id,
            outcome: settled.first().unwrap().clone(),
            acknowledged: true,
            tries: 1,
            refused: Vec::new(),
            took: begun.elapsed(),
        },
        other => panic!("{node} said that it was ready, and then: {other:?}"),
    }
}
