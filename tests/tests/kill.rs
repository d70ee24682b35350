//! `kill -9` of every kind of process, under load: nothing lost, nothing doubled, every attempt decided, every message once.
//!
//! Steps are hit exactly, by crash points before and after the one synced write of a step, and at random, by signals at
//! seeded times. A run is said again with `DOVETAIL_SEED`.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{B256, Bytes};
use cluster::Node;
use dovetail_tests::audit::{audit, inspect, locked};
use dovetail_tests::chance::Chance;
use dovetail_tests::load::{Action, Diary, Load, Mix};
use dovetail_tests::testnet::{SHARDS_COUNT, Testnet};
use std::time::{Duration, Instant};

/// Users at work; each waits for its transaction before it sends the next.
const USERS_COUNT: u32 = 12;

/// Most transactions of one user.
const TRANSACTIONS_COUNT_MAX: usize = 200;

/// How many transactions end between one death and the next.
const BETWEEN_COUNT: usize = 15;

/// How long a process under load may take to reach its crash point.
const CRASH_PATIENCE: Duration = Duration::from_secs(6);

/// Lets each of `nodes` die at each of `points` in turn, under load, and comes back; then audits.
async fn crashed(nodes: &[Node], points: &[&str], mix: Mix) {
    let chance = Chance::announced();
    let mut net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, mix, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    let mut reached = 0;
    for (point, node) in points.iter().zip(nodes.iter().cycle()) {
        let died = net.crash_at(*node, point, CRASH_PATIENCE).await.unwrap();
        println!("{node} {} {point}", if died { "died at" } else { "was killed before" });
        reached += usize::from(died);
        net.cluster.restart(*node).unwrap();
        net.cluster.wait_ready(*node).unwrap();
        load.goes_on_for(BETWEEN_COUNT).await;
    }
    let diaries = load.end().await.unwrap();
    audit(net, &diaries).await.unwrap();
    assert!(reached * 2 > points.len(), "{reached} of {} crash points were reached: too little load", points.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_die_at_any_step_lose_and_double_nothing() {
    let points = [
        "before_commit:1",
        "after_commit:1",
        "before_commit:2",
        "after_commit:2",
        "before_commit:5",
        "after_commit:5",
        "before_commit:20",
        "after_commit:20",
    ];
    let nodes: Vec<Node> = (0..SHARDS_COUNT).map(Node::Executor).collect();
    crashed(&nodes, &points, Mix::All).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_that_die_at_any_step_lose_and_double_nothing() {
    let points = [
        "before_commit:1",
        "after_commit:1",
        "before_commit:2",
        "after_commit:2",
        "before_commit:3",
        "after_commit:4",
        "before_commit:9",
        "after_commit:15",
    ];
    crashed(&[Node::Coordinator(0), Node::Coordinator(1)], &points, Mix::All).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_die_at_any_step_lose_and_double_no_message() {
    let points = [
        "before_commit:1",
        "after_commit:1",
        "before_commit:2",
        "after_commit:2",
        "before_commit:4",
        "after_commit:6",
        "before_commit:12",
        "after_commit:18",
    ];
    crashed(&[Node::Relay(0), Node::Relay(1)], &points, Mix::Messages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_process_killed_at_any_time_loses_and_doubles_nothing() {
    const KILLS_COUNT: usize = 10;
    let mut chance = Chance::announced();
    let mut net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    let nodes = net.nodes();
    for _ in 0..KILLS_COUNT {
        // One after the other, or two at once.
        let victims: Vec<Node> =
            (0..=chance.under(2)).map(|_| nodes[chance.under(nodes.len() as u64) as usize]).collect();
        tokio::time::sleep(chance.millis(50, 900)).await;
        for node in &victims {
            if net.cluster.pid(*node).is_some() {
                net.cluster.kill(*node).unwrap();
            }
        }
        println!("killed {}", victims.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "));
        tokio::time::sleep(chance.millis(0, 400)).await;
        net.heal().unwrap();
    }
    let diaries = load.end().await.unwrap();
    audit(net, &diaries).await.unwrap();
}

/// R8: with every coordinator gone under load, the shards end among themselves what they have voted on; nobody else is there.
#[tokio::test(flavor = "multi_thread")]
async fn shards_end_what_their_coordinators_left_without_any() {
    /// Deadline of an attempt, grace, and several times of asking, on a busy machine.
    const ALONE_MAX: Duration = Duration::from_secs(30);
    let chance = Chance::announced();
    let mut net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    load.goes_on_for(40).await;
    for coordinator in 0..2 {
        net.cluster.kill(Node::Coordinator(coordinator)).unwrap();
    }
    let client = net.cluster.client(0).unwrap();
    let (begun, left) = (Instant::now(), locked(&net, &client).await.unwrap().len());
    while !locked(&net, &client).await.unwrap().is_empty() {
        assert!(begun.elapsed() < ALONE_MAX, "after {ALONE_MAX:?} without a coordinator keys are locked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "{left} keys were locked when the coordinators died; the shards released them {:?} later",
        begun.elapsed()
    );
    net.heal().unwrap();
    let diaries = load.end().await.unwrap();
    audit(net, &diaries).await.unwrap();
}

/// The audit is known to fail: diaries that say a little more or less than what happened are each found out.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_finds_a_transaction_lost_doubled_or_changed() {
    let chance = Chance::announced();
    let net = Testnet::start(1, 3).await.unwrap();
    let load = Load::start(&net, Mix::All, 12, &chance).unwrap();
    load.goes_on_for(30).await;
    let diaries = load.end().await.unwrap();
    inspect(&net, &diaries).await.unwrap();
    let forged = |forge: &dyn Fn(&mut Vec<Diary>)| {
        let mut diaries = diaries.clone();
        forge(&mut diaries);
        diaries
    };
    let each = |diaries: &mut Vec<Diary>, change: &dyn Fn(&mut Action)| {
        diaries.iter_mut().flat_map(|diary| &mut diary.entries).for_each(|entry| change(&mut entry.action));
    };
    let cases: [(&str, Vec<Diary>, &str); 5] = [
        ("lost", forged(&|diaries| diaries[0].entries[0].transaction = B256::repeat_byte(1)), "LOST"),
        ("doubled", forged(&|diaries| drop(diaries[0].entries.pop())), "the nonce of"),
        ("another outcome", forged(&|diaries| diaries[1].entries[0].outcome.gas_used += 1), "something else"),
        (
            "another message",
            forged(&|diaries| {
                each(diaries, &|action| {
                    if let Action::Send { body } = action {
                        *body = Bytes::from_static(b"never sent");
                    }
                });
            }),
            "arrived 0 times",
        ),
        (
            "another amount",
            forged(&|diaries| {
                each(diaries, &|action| {
                    if let Action::Give { gold, .. } | Action::Swap { gold } = action {
                        *gold += 1;
                    }
                });
            }),
            "by its diary",
        ),
    ];
    for (name, diaries, expected) in cases {
        let found = format!("{:#}", inspect(&net, &diaries).await.expect_err(name));
        assert!(found.contains(expected), "{name}: {found}");
    }
    audit(net, &diaries).await.unwrap();
}
