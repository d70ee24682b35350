//! Two relays of real processes share a route: hardly a receipt is handed in twice, and one takes over from the other.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use cluster::Node;
use dovetail_tests::chance::Chance;
use dovetail_tests::load::{Load, Mix};
use dovetail_tests::operator::{metric, until};
use dovetail_tests::testnet::{DESTINATION, RELAYS_COUNT, SOURCE, Testnet, program};
use fixtures::contracts::Ping;
use fixtures::wallet::Call;
use proof::domain_of;
use relay::{Route, Share};
use std::process::Command;
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

/// What `dovetail bridge` says at a relay, and whether it could be done.
fn operator(net: &Testnet, relay: u32, verb: &[&str]) -> (bool, String) {
    let at = net.cluster.endpoint(Node::Relay(relay));
    let ran = Command::new(program().unwrap()).args(["bridge", "--at", &at]).args(verb).output().unwrap();
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (ran.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_orders_relays_by_the_command_line_and_hears_why_a_message_waits() {
    let mut net = Testnet::start(1, 1).await.unwrap();
    let way = format!("{SOURCE}-{DESTINATION}");
    for relay in 0..RELAYS_COUNT {
        let (done, said) = operator(&net, relay, &["pause", &way, "--reason", "a drill"]);
        assert!(done && said.contains("what is under way comes to its end"), "{said}");
    }
    let client = net.cluster.client(0).unwrap();
    let send = Ping::sendCall {
        destination: domain_of(net.cluster.network().params.network, DESTINATION),
        recipient: net.contracts.pong.into_word(),
        body: vec![7].into(),
        gasLimit: 300_000,
        deadlineMs: u64::MAX,
    };
    let call = Call::to(net.contracts.ping, send.abi_encode());
    let settled = client.succeed(&mut net.users[0], &call).await.unwrap();
    let mailbox = evm::mailbox_address(SOURCE);
    let id = settled.first().unwrap().logs.iter().find(|log| log.address == mailbox).unwrap().topics[1].to_string();
    until("word of what keeps it", PATIENCE, async || {
        let (_, why) = operator(&net, 0, &["why", &id]);
        Ok(why.contains(&format!("the way {way} is paused: resume it")).then_some(()))
    })
    .await
    .unwrap();
    let (_, routes) = operator(&net, 0, &["routes"]);
    let line = routes.lines().find(|line| line.starts_with(&way)).unwrap();
    assert!(line.contains("paused: a drill") && line.contains("1 wait"), "{routes}");
    let (_, backlog) = operator(&net, 0, &["backlog"]);
    assert!(backlog.lines().any(|line| line.starts_with(&way) && line.contains("1 wait, the oldest for")), "{backlog}");
    let refusals: [(&[&str], &str); 6] = [
        (&["pause", "up"], "there is no way \"up\" here"),
        (&["pause", "0-9"], "there is no route from shard 0 to shard 9"),
        (&["dead-letters", "retry", &id], "is no dead letter of this relay"),
        (&["dead-letters", "drop", &id, "--reason", " "], "dropped for a reason"),
        (&["rescan", "7..5", "--way", &way], "is after block 5"),
        (&["rescan", "1000000..1000001", "--way", &way], "yet to come"),
    ];
    for (verb, expected) in refusals {
        let (done, said) = operator(&net, 0, verb);
        assert!(!done && said.contains(expected), "{verb:?}: {said}");
    }
    assert!(operator(&net, 0, &["dead-letters", "list"]).1.contains("0 in all"));
    for relay in 0..RELAYS_COUNT {
        assert!(operator(&net, relay, &["resume", &way]).0);
    }
    until("its arrival", PATIENCE, async || {
        Ok((client.view(net.contracts.ping, &Ping::deliveredCountCall {}).await? == U256::from(1)).then_some(()))
    })
    .await
    .unwrap();
    let (done, said) = operator(&net, 0, &["rescan", "0..1", "--way", &way]);
    assert!(done && said.contains("is not brought twice"), "{said}");
    until("word of whoever carried it", PATIENCE, async || {
        let told = (0..RELAYS_COUNT).map(|relay| operator(&net, relay, &["why", &id]).1);
        Ok(told.collect::<String>().contains("nothing is left to do: it was delivered").then_some(()))
    })
    .await
    .unwrap();
}
