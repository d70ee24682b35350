//! The explorer as JSON, on real processes: attempts that nobody but shards' blocks knows any more, found by their ids alone.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, U256};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use commit::Descriptor;
use dovetail_tests::operator::until;
use dovetail_tests::testnet::program;
use fixtures::wallet::{Call, Wallet};
use primitives::{AttemptId, Digest, Epoch, ShardId, Time};
use proof::LeafKind;
use serde_json::{Value, json};
use std::time::Duration;
use wire::Reason;

const COORDINATOR: Node = Node::Coordinator(0);
const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];

/// How soon shards forget an attempt that is over, or whose deadline is past.
const WITHIN: Duration = Duration::from_secs(40);

/// A payment over both shards.
async fn pay(client: &Client, wallet: &mut Wallet, to: Address) -> cluster::client::Settled {
    client.succeed(wallet, &Call::to(to, Vec::new()).with_value(U256::ONE)).await.unwrap()
}

fn word(attempt: AttemptId) -> B256 {
    B256::new(*attempt.0.as_bytes())
}

/// Whether `shard` has its vote on `attempt` at hand no longer.
async fn is_forgotten(client: &Client, shard: ShardId, attempt: AttemptId) -> bool {
    let receipt = client.shard(shard).receipt(LeafKind::Vote, word(attempt)).await;
    receipt.is_err_and(|refused| matches!(refused.reason, Reason::NotFound | Reason::Settled))
}

async fn explored(client: &Client, path: &str) -> Value {
    client.rpc().get(&format!("/explorer/api/v1/{path}")).await.unwrap()
}

fn verdicts(told: &Value) -> Vec<(u64, &str)> {
    let votes = told["votes"].as_array().unwrap_or_else(|| panic!("{told}"));
    votes.iter().map(|vote| (vote["shard"].as_u64().unwrap(), vote["verdict"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_forgotten_is_found_by_its_id_alone() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { relays: 0, program: program().unwrap(), ..Plan::development(2).unwrap() };
    let mut cluster = Cluster::start(plan.with_cheats(), dir.path()).unwrap();
    let client = cluster.client(0).unwrap();
    let params = cluster.network().params.clone();
    let mut wallet = Wallet::development(params.network.0, 0).unwrap();
    let home = cluster.network().placement.shard_of(wallet.address());
    let is_away = |address: &Address| cluster.network().placement.shard_of(*address) != home;
    let away = (1..=u8::MAX).map(Address::repeat_byte).find(is_away).unwrap();

    let paid = pay(&client, &mut wallet, away).await;
    let (committed, transaction) = (paid.attempt.unwrap(), paid.first().unwrap().transaction.unwrap());
    // One that nobody prepared: asked to abort, a shard votes no (R5). No coordinator ever hears of it.
    let aborted = Descriptor {
        network: params.network,
        participants: SHARDS.map(|shard| (shard, Epoch(1))).into(),
        homes: [home].into(),
        payload: Digest::new([7; 32]),
        number: 1,
        deadline: Time(host::wall().0 + 5_000),
    };
    let asked = client.participant(SHARDS[1]).request_abort(vec![(&aborted).into()]).await.unwrap();
    assert!(asked.into_iter().all(|answer| answer.is_ok()));
    let aborted = aborted.id();
    let at_hand = explored(&client, &format!("attempts/{}", word(aborted))).await;
    assert_eq!((verdicts(&at_hand), &at_hand["decision"]), (vec![(1, "no")], &json!("abort")));

    // What was decided here is in memory: not after this.
    cluster.terminate(COORDINATOR).unwrap();
    cluster.restart(COORDINATOR).unwrap();
    cluster.wait_ready(COORDINATOR).unwrap();
    let client = cluster.client(0).unwrap();
    let _: Value = client.rpc().request("evm_increaseTime", json!([300])).await.unwrap();
    let forgotten = async || {
        pay(&client, &mut wallet, away).await; // Time passes with blocks.
        let mut all = is_forgotten(&client, SHARDS[1], aborted).await;
        for shard in SHARDS {
            all &= is_forgotten(&client, shard, committed).await;
        }
        Ok(all.then_some(()))
    };
    until("attempts that are forgotten", WITHIN, forgotten).await.unwrap();
    let told = explored(&client, &format!("attempts/{}", word(committed))).await;
    assert_eq!(verdicts(&told), [(0, "yes"), (1, "yes")], "out of the blocks that the index names");
    assert_eq!((&told["decision"], &told["transaction"]), (&json!("commit"), &json!(transaction)));
    let told = explored(&client, &format!("attempts/{}", word(aborted))).await;
    assert_eq!(verdicts(&told), [(1, "no")], "out of the newest blocks");
    assert_eq!((&told["decision"], &told["transaction"]), (&json!("abort"), &Value::Null));
    for attempt in [committed, aborted] {
        let found = explored(&client, &format!("search?q={}", word(attempt))).await;
        assert_eq!(found["found"], json!([{ "kind": "attempt", "id": word(attempt) }]));
    }
    let unknown = explored(&client, &format!("attempts/{}", B256::repeat_byte(9))).await;
    assert_eq!(unknown["status"], 404, "{unknown}");
    cluster.stop().unwrap();
}
