//! Two relays of real processes share a route: hardly a receipt is handed in twice, and one takes over from the other.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::Node;
use dovetail_tests::chance::Chance;
use dovetail_tests::load::{Load, Mix};
use dovetail_tests::operator::{metric, until};
use dovetail_tests::testnet::{DESTINATION, RELAYS_COUNT, SOURCE, Testnet};
use fixtures::contracts::Ping;
use relay::{Route, Share};
use std::time::{Duration, Instant};

/// Messages of one round, over all users.
const ROUND_COUNT: usize = 120;

/// How long any end may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a takeover takes, of which two seconds are the silence that a relay waits for.
const TAKEOVER_MAX: Duration = Duration::from_secs(15);

/// Sends a round of messages, and says how long after its last the last of them was acknowledged.
async fn round(net: &mut Testnet, chance: &Chance) -> Duration {
    let users = net.users.len();
    let load = Load::start(net, Mix::Messages, ROUND_COUNT / users, chance).unwrap();
    load.goes_on_for(ROUND_COUNT).await;
    let diaries = load.end().await.unwrap();
    for diary in &diaries {
        let wallet = net.users.iter_mut().find(|wallet| wallet.address() == diary.user).unwrap();
        wallet.set_nonce(diary.first_nonce + diary.entries.len() as u64);
    }
    let sent = Instant::now();
    let (client, ping) = (net.cluster.client(0).unwrap(), net.contracts.ping);
    until("the acknowledgement of every message", PATIENCE, async || {
        let sent = client.view(ping, &Ping::sentCountCall {}).await?;
        let delivered = client.view(ping, &Ping::deliveredCountCall {}).await?;
        Ok((delivered >= sent).then_some(()))
    })
    .await
    .unwrap();
    sent.elapsed()
}

/// Receipts handed over by all relays that run, and how many of them for nothing.
fn handed_over(net: &Testnet) -> (u64, u64) {
    let sum = |name| (0..RELAYS_COUNT).map(|relay| metric(&net.cluster, Node::Relay(relay), name).unwrap()).sum();
    (sum("dovetail_relay_handed_over_total"), sum("dovetail_relay_handed_over_again_total"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_hand_over_nearly_nothing_twice_and_one_takes_over_from_another_that_is_stopped_or_killed() {
    let mut net = Testnet::start(1, 6).await.unwrap();
    let chance = Chance::announced();
    let route = Route { source: SOURCE, destination: DESTINATION };
    let first = (0..RELAYS_COUNT).find(|place| Share::new(*place, RELAYS_COUNT).unwrap().rank(route) == 0).unwrap();
    let (first, other) = (Node::Relay(first), Node::Relay(RELAYS_COUNT - 1 - first));

    round(&mut net, &chance).await;
    let (handed, again) = handed_over(&net);
    println!("{again} of {handed} receipts were redundant between two live relays");
    assert!(handed >= ROUND_COUNT as u64 && again * 100 < handed);

    net.cluster.signal(first, "STOP").unwrap();
    let took = round(&mut net, &chance.fork(1)).await;
    println!("the messages of a stopped relay ended {took:?} after the last of them");
    assert!(took < TAKEOVER_MAX);
    net.cluster.signal(first, "CONT").unwrap();
    round(&mut net, &chance.fork(2)).await;
    let (handed, again) = handed_over(&net);
    println!("{again} of {handed} receipts were redundant with one stop between");

    net.cluster.kill(first).unwrap();
    let took = round(&mut net, &chance.fork(3)).await;
    println!("the messages of a killed relay ended {took:?} after the last of them");
    assert!(took < TAKEOVER_MAX);
    std::fs::remove_dir_all(net.dir().join(first.to_string())).unwrap();
    net.cluster.restart(first).unwrap();
    net.cluster.wait_ready(first).unwrap();
    round(&mut net, &chance.fork(4)).await;
    let again = metric(&net.cluster, first, "dovetail_relay_handed_over_again_total").unwrap();
    println!("a relay that lost its folder handed over {again} receipts again");
    // Of four rounds before. Of the new one some: whoever stood in for it carries until it sees that it is back.
    assert!(again < ROUND_COUNT as u64 / 2, "{again} receipts went again");
    assert!(metric(&net.cluster, other, "dovetail_relay_handed_over_total").unwrap() > 0);
    net.cluster.stop().unwrap();
}
