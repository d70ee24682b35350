//! I17 on real processes: a read of many shards at once, raced against transactions that change them all.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, Bytes, U256, hex, keccak256};
use dovetail_tests::audit::audit;
use dovetail_tests::chance::Chance;
use dovetail_tests::load::{Load, Mix};
use dovetail_tests::testnet::Testnet;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Users at work.
const USERS_COUNT: u32 = 6;

/// Most transactions of one user.
const TRANSACTIONS_COUNT_MAX: usize = 60;

/// How long the counters are looked at.
const LOOKING: Duration = Duration::from_secs(12);

/// Init code that asks every counter for its count and returns all of them: one call over all shards.
fn look_at(counters: &[Address]) -> Bytes {
    let selector = hex::encode(&keccak256("count()")[..4]);
    // The selector to memory 0; then a STATICCALL each, whose answer goes to the next word from 0x20 on.
    let asked = counters
        .iter()
        .enumerate()
        .map(|(index, counter)| format!("602060{:02x}60045f73{}5afa50", 0x20 * (index + 1), hex::encode(counter)));
    let code = format!("63{selector}60e01b5f52{}60{:02x}6020f3", asked.collect::<String>(), 0x20 * counters.len());
    hex::decode(code).unwrap().into()
}

/// Each transaction of the load that counts raises the counters of all shards by the same number. Whoever sees two of them
/// differ has seen a part of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_shows_all_of_a_transaction_or_none() {
    let chance = Chance::announced();
    let net = Testnet::start(2, USERS_COUNT).await.unwrap();
    let load = Load::start(&net, Mix::All, TRANSACTIONS_COUNT_MAX, &chance).unwrap();
    let clients = [net.cluster.client(0).unwrap(), net.cluster.client(1).unwrap()];
    let code = look_at(&net.contracts.counters);
    let (begun, mut seen, mut unsettled) = (Instant::now(), BTreeSet::new(), 0);
    let mut looks = clients.iter().flat_map(|client| [(client, "latest"), (client, "pending")]).cycle();
    while begun.elapsed() < LOOKING {
        let (client, block) = looks.next().unwrap();
        // "Stale": what it reads never stood still for as long as it tried. It says so, and shows nothing. A closed block
        // stands still.
        match client.rpc().request::<Bytes>("eth_call", json!([{ "data": code }, block])).await {
            Ok(output) => {
                let counts: Vec<U256> = output.chunks(32).map(U256::from_be_slice).collect();
                assert_eq!(counts.len(), net.contracts.counters.len());
                assert!(counts.iter().all(|count| *count == counts[0]), "a view shows a part: {counts:?}");
                seen.insert(counts[0]);
            }
            Err(error) if block == "pending" && format!("{error:#}").contains("never stood still") => unsettled += 1,
            Err(error) => panic!("{error:#}"),
        }
    }
    println!("{} states seen whole, {unsettled} looks gave up", seen.len());
    assert!(seen.len() >= 5, "the counters hardly moved while they were looked at: {seen:?}");
    let diaries = load.end().await.unwrap();
    audit(net, &diaries).await.unwrap();
}
