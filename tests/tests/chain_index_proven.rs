//! A chain index whose shards are told of by somebody who lies: it believes nothing that the validators did not certify, stands
//! still meanwhile and says so, and is right afterwards.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use cluster::Node;
use cluster::counters::Counters;
use cluster::rpc::Rpc;
use dovetail_tests::liar::{Liars, Lie};
use dovetail_tests::operator::{log, readiness, until};
use dovetail_tests::testnet::{Testnet, Ways};
use fixtures::contracts::Token;
use fixtures::wallet::Call;
use primitives::ShardId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use wire::proto::v1::{TellLogResponse, ToldOutcome};
use world::Party;

/// The node that is lied to.
const DECEIVED: Node = Node::Coordinator(1);

/// How soon it has caught up with the other.
const WITHIN: Duration = Duration::from_secs(20);

/// Each is told while users are at work.
const LIES: [(&str, Lie); 6] = [
    ("a log is changed", |page| outcome(page, change_log)),
    ("gas is changed", |page| outcome(page, change_gas)),
    ("a transaction is left out", |page| outcomes(page, |outcomes| drop(outcomes.pop()))),
    ("a transaction is told twice", |page| outcomes(page, |outcomes| outcomes.push(outcomes[0].clone()))),
    ("bytes are changed", |page| outcome(page, |told| told.record.as_mut().unwrap().transaction = vec![2].into())),
    ("a block is left out", |page| page.blocks.pop().is_some()),
];

/// Changes the transactions of the first block that has some.
fn outcomes(page: &mut TellLogResponse, lie: impl FnOnce(&mut Vec<ToldOutcome>)) -> bool {
    let first = page.blocks.iter_mut().map(|block| &mut block.outcomes).find(|outcomes| !outcomes.is_empty());
    first.map(lie).is_some()
}

/// Changes the first transaction that has logs.
fn outcome(page: &mut TellLogResponse, lie: impl FnOnce(&mut ToldOutcome)) -> bool {
    let has_logs = |told: &&mut ToldOutcome| !effects(told).logs.is_empty();
    page.blocks.iter_mut().flat_map(|block| &mut block.outcomes).find(has_logs).map(lie).is_some()
}

fn effects(told: &ToldOutcome) -> evm::Outcome {
    primitives::decode(&told.record.as_ref().unwrap().outcome, usize::MAX).unwrap()
}

fn set_effects(told: &mut ToldOutcome, outcome: &evm::Outcome) {
    told.record.as_mut().unwrap().outcome = primitives::encode(outcome).into();
}

fn change_log(told: &mut ToldOutcome) {
    let mut outcome = effects(told);
    outcome.logs[0].data = U256::from(666).to_be_bytes_vec().into();
    set_effects(told, &outcome);
}

fn change_gas(told: &mut ToldOutcome) {
    let mut outcome = effects(told);
    outcome.gas_used += 1;
    set_effects(told, &outcome);
}

async fn head(rpc: &Rpc) -> u64 {
    let head: String = rpc.request("eth_blockNumber", json!([])).await.unwrap();
    u64::from_str_radix(head.trim_start_matches("0x"), 16).unwrap()
}

/// A transfer of gold from the first user to the second.
async fn pay(net: &mut Testnet) {
    let (client, gold) = (net.cluster.client(0).unwrap(), net.contracts.market.gold);
    let [from, to, ..] = &mut net.users[..] else { panic!("two users") };
    let transfer = Token::transferCall { to: to.address(), amount: U256::from(1) };
    client.succeed(from, &Call::to(gold, transfer.abi_encode())).await.unwrap();
}

/// Whether the deceived node says that it stands still, with the reason.
fn standstill(net: &Testnet) -> Option<String> {
    let (is_ready, text) = readiness(&net.cluster, DECEIVED).unwrap();
    (!is_ready && text.contains("stands still")).then_some(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_a_shards_log_is_refused_and_noticed_and_nothing_of_it_stays() {
    let mut net = Testnet::start_by(Ways::Lines, 2, 2).await.unwrap();
    let shards = net.cluster.network().endpoints.iter();
    let shards = shards.map(|(shard, endpoint)| (*shard, endpoint.trim_start_matches("http://").parse().unwrap()));
    let liars = Liars::open(&shards.collect::<BTreeMap<ShardId, _>>()).await.unwrap();
    for (shard, address) in liars.addresses() {
        net.lines().unwrap().redirect(Party::Coordinator(1), shard, address).unwrap();
    }
    let clients = [net.cluster.client(0).unwrap(), net.cluster.client(1).unwrap()];
    let [honest, deceived] = [clients[0].rpc(), clients[1].rpc()];
    let caught_up = async |to: u64| {
        let behind = async || Ok((head(deceived).await >= to).then_some(()));
        until("the deceived node to catch up", WITHIN, behind).await.unwrap();
    };
    let goes_on = async |to: u64| {
        let beyond = async || Ok((head(honest).await > to).then_some(()));
        until("the honest node to go on", WITHIN, beyond).await.unwrap();
    };
    for (name, lie) in LIES {
        pay(&mut net).await;
        caught_up(head(honest).await).await;
        let before = (liars.lies_count(), refused(&net));
        liars.tell(Some(lie));
        for _ in 0..3 {
            pay(&mut net).await;
        }
        let said = until("it to stand still", WITHIN, async || Ok(standstill(&net))).await.unwrap();
        // What the other shards had not closed yet when it began may still be.
        goes_on(head(honest).await + 4).await;
        let stuck = head(deceived).await;
        goes_on(stuck + 12).await;
        assert_eq!(head(deceived).await, stuck, "{name}: {said}");
        assert!(liars.lies_count() > before.0 && refused(&net) > before.1, "{name}: {said}");
        liars.tell(None);
        caught_up(head(honest).await).await;
        assert_eq!(standstill(&net), None, "{name}");
    }
    let told = log(&net.cluster, DECEIVED).unwrap();
    assert!(told.contains("what its validators did not certify"), "{told}");
    for slot in 0..=head(honest).await {
        let block = json!([format!("{slot:#x}"), true]);
        let [one, other]: [Value; 2] = [
            honest.request("eth_getBlockByNumber", block.clone()).await.unwrap(),
            deceived.request("eth_getBlockByNumber", block).await.unwrap(),
        ];
        assert_eq!(one, other);
        let at = json!([format!("{slot:#x}")]);
        let [one, other]: [Value; 2] = [
            honest.request("eth_getBlockReceipts", at.clone()).await.unwrap(),
            deceived.request("eth_getBlockReceipts", at).await.unwrap(),
        ];
        assert_eq!(one, other);
    }
}

/// How many pages the deceived node has refused.
fn refused(net: &Testnet) -> f64 {
    Counters::read(&net.cluster, DECEIVED).unwrap().sum("dovetail_index_logs_refused_total")
}
