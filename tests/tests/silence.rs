//! A shard that is gone: the others go on, are told of, and everybody who is asked says which one it is.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, Bytes, U256, hex};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use dovetail_tests::operator::{log, readiness, until};
use dovetail_tests::testnet::{SHARDS_COUNT, program};
use fixtures::wallet::{ACCOUNTS_COUNT, Call, Wallet};
use host::network::NetworkFile;
use primitives::ShardId;
use proof::domain_of;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wire::client::{ClientSettings, Connection};
use wire::relay::{RelayClient, RouteKey};

/// The shard that goes.
const GONE: u32 = 2;

/// How soon everybody says so.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

/// How soon a receipt is there: a slot is closed a second after it began, and a silent shard may hold it for two.
const RECEIPT_WITHIN: Duration = Duration::from_secs(10);

/// How soon what needs the silent shard is refused, once it is known to be silent.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

fn network() -> (TempDir, Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { program: program().unwrap(), relays: 1, ..Plan::development(SHARDS_COUNT).unwrap() };
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    (dir, cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_lost_is_named_by_all_and_once_in_their_logs() {
    let (_dir, mut cluster) = network();
    let others = [Node::Executor(0), Node::Executor(1), Node::Coordinator(0), Node::Relay(0)];
    for node in others {
        let well = async || Ok((readiness(&cluster, node)?.1 == "ready\n").then_some(()));
        until("network that is well", TOLD_WITHIN, well).await.unwrap();
    }
    // What a slow start had to say before is no matter here.
    let before = others.map(|node| log(&cluster, node).unwrap().len());
    cluster.kill(Node::Executor(GONE)).unwrap();
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
    for (node, before) in others.into_iter().zip(before) {
        let well = async || Ok((readiness(&cluster, node)?.1 == "ready\n").then_some(()));
        until("end of the complaint", TOLD_WITHIN, well).await.unwrap();
        let log = log(&cluster, node).unwrap().split_off(before);
        for line in ["a peer is lost", "a peer is back"] {
            assert_eq!(log.matches(line).count(), 1, "{node} says \"{line}\" once:\n{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_an_operator_paused_is_named_until_it_is_resumed() {
    let (_dir, mut cluster) = network();
    let node = Node::Relay(0);
    let network = cluster.network().params.network;
    let route = RouteKey { source: domain_of(network, ShardId(0)), destination: domain_of(network, ShardId(1)) };
    let relay = RelayClient::new(Connection::open(&ClientSettings::plain(cluster.endpoint(node))).unwrap());
    relay.pause(route).await.unwrap();
    let named = "the route from shard 0 to shard 1 was paused";
    let (ready, text) = readiness(&cluster, node).unwrap();
    assert!(ready && text.contains(named), "{text}");
    cluster.terminate(node).unwrap();
    cluster.restart(node).unwrap();
    cluster.wait_ready(node).unwrap();
    let (_, text) = readiness(&cluster, node).unwrap();
    assert!(text.contains(named), "a restart resumes nothing: {text}");
    assert!(log(&cluster, node).unwrap().contains("a route is still paused"));
    relay.resume(route).await.unwrap();
    let (_, text) = readiness(&cluster, node).unwrap();
    assert!(!text.contains(named), "{text}");
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
    // A file that states what it comes to would be refused before anybody is asked.
    let ours = NetworkFile { genesis_digest: None, ..ours };
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

/// A user's transfer that needs the shards of `from` and `to` alone, in the words of a wallet.
async fn send(client: &Client, from: &mut Wallet, to: Address) -> String {
    let signed = from.sign(&Call::to(to, Vec::new()).with_value(U256::from(1)).with_gas_limit(21_000)).unwrap();
    client.rpc().request("eth_sendRawTransaction", json!([signed])).await.unwrap()
}

/// The receipt of a transaction, within the time that it takes when all is well and a shard's silence besides.
async fn receipt(client: &Client, hash: &str) -> Value {
    until("receipt", RECEIPT_WITHIN, async || {
        let receipt: Value = client.rpc().request("eth_getTransactionReceipt", json!([hash])).await?;
        Ok((!receipt.is_null()).then_some(receipt))
    })
    .await
    .unwrap()
}

/// The home of the first development account, the accounts at home there, and those on other shards.
fn wallets(cluster: &Cluster) -> (u32, Vec<Wallet>, Vec<Wallet>) {
    let network = cluster.network();
    let wallet = |number| Wallet::development(network.params.network.0, number).unwrap();
    let gone = network.placement.shard_of(wallet(0).address());
    let is_gone = |wallet: &Wallet| network.placement.shard_of(wallet.address()) == gone;
    let (there, here) = (0..ACCOUNTS_COUNT).map(wallet).partition(is_gone);
    (gone.0, there, here)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newest_read_that_a_silent_shard_holds_up_names_it() {
    let (_dir, mut cluster) = network();
    let client = cluster.client(0).unwrap();
    let (gone, there, mut here) = wallets(&cluster);
    let (mut from, to) = (here.remove(0), there[0].address());
    let hash = send(&client, &mut from, to).await;
    receipt(&client, &hash).await;
    cluster.kill(Node::Executor(gone)).unwrap();
    // What this one needs is known still, so that it begins, and the sender's shard votes for it.
    send(&client, &mut from, to).await;
    let sender = json!([from.address(), "pending"]);
    until("word of the undecided payment", TOLD_WITHIN, async || {
        let read = client.rpc().request::<Value>("eth_getBalance", sender.clone()).await;
        let Err(error) = read else { return Ok(None) };
        let text = error.to_string();
        Ok((text.contains("is undecided") && text.contains(&format!("{gone}"))).then_some(()))
    })
    .await
    .unwrap();
}

async fn goes_on_without(cluster: &Cluster) {
    let client = cluster.client(0).unwrap();
    let (gone, there, mut here) = wallets(cluster);
    let mut from = here.remove(0);
    let to = here.remove(0).address();
    from.set_nonce(client.rpc().nonce(from.address()).await.unwrap());
    let head = async || -> u64 {
        let head: String = client.rpc().request("eth_blockNumber", json!([])).await.unwrap();
        u64::from_str_radix(head.trim_start_matches("0x"), 16).unwrap()
    };
    let before = head().await;
    let hash = send(&client, &mut from, to).await;
    let receipt = receipt(&client, &hash).await;
    assert_eq!(receipt["status"], "0x1");
    let number = receipt["blockNumber"].clone();
    let block: Value = client.rpc().request("eth_getBlockByNumber", json!([number, false])).await.unwrap();
    assert!(block["transactions"].as_array().unwrap().contains(&json!(hash)));
    assert!(head().await > before);
    let begun = Instant::now();
    let balance = client.rpc().balance(there[0].address()).await.unwrap_err().to_string();
    assert!(balance.contains(&format!("shard {gone}")), "the shard that is needed is named: {balance}");
    let unknown = format!("{:#066x}", 7);
    let missing = client.rpc().request::<Value>("eth_getTransactionReceipt", json!([unknown])).await.unwrap_err();
    assert!(missing.to_string().contains(&format!("shard {gone}")), "nobody knows whether there is one: {missing}");
    assert!(begun.elapsed() < REFUSED_WITHIN, "refusals took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_shard_stopped_the_others_are_told_of() {
    let (dir, mut cluster) = network();
    let client = cluster.client(0).unwrap();
    let (gone, mut there, here) = wallets(&cluster);
    let mut last = there.remove(0);
    // What it did before it fell silent is not lost.
    let hash = send(&client, &mut last, here[1].address()).await;
    let told = receipt(&client, &hash).await;
    cluster.signal(Node::Executor(gone), "STOP").unwrap();
    until("word of the silent shard", TOLD_WITHIN, async || {
        Ok(readiness(&cluster, Node::Coordinator(0))?.1.contains(&format!("shard {gone} has not")).then_some(()))
    })
    .await
    .unwrap();
    goes_on_without(&cluster).await;
    assert_eq!(receipt(&client, &hash).await, told, "a block that was told whole is kept");
    // One that starts meanwhile.
    cluster.kill(Node::Coordinator(0)).unwrap();
    cluster.restart(Node::Coordinator(0)).unwrap();
    cluster.wait_ready(Node::Coordinator(0)).unwrap();
    goes_on_without(&cluster).await;
    assert_eq!(receipt(&client, &hash).await, told, "what is in its index needs no shard");
    let old = client.rpc().request::<Value>("eth_getBlockByNumber", json!([told["blockNumber"], false])).await.unwrap();
    assert_eq!(old.get("silentShards"), None, "and is whole");
    cluster.kill(Node::Coordinator(0)).unwrap();
    std::fs::remove_dir_all(dir.path().join("coordinator-0").join("index")).unwrap();
    cluster.restart(Node::Coordinator(0)).unwrap();
    cluster.wait_ready(Node::Coordinator(0)).unwrap();
    goes_on_without(&cluster).await;
    let old = client.rpc().request::<Value>("eth_getBlockByNumber", json!([told["blockNumber"], false])).await.unwrap();
    assert_eq!(old["silentShards"], json!([format!("{gone:#x}")]), "without its index it cannot know, and says so");
    cluster.signal(Node::Executor(gone), "CONT").unwrap();
    until("balance", TOLD_WITHIN, async || Ok(client.rpc().balance(last.address()).await.ok())).await.unwrap();
    assert_eq!(receipt(&client, &hash).await, told);
    let newest = until("block of all shards", TOLD_WITHIN, async || {
        let block: Value = client.rpc().request("eth_getBlockByNumber", json!(["latest", false])).await?;
        Ok(block.get("silentShards").is_none().then_some(block))
    });
    newest.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shards_last_transactions_are_shown_when_it_is_back() {
    let (_dir, mut cluster) = network();
    let client = cluster.client(0).unwrap();
    let (gone, mut there, here) = wallets(&cluster);
    let mut last = there.remove(0);
    let hash = send(&client, &mut last, here[0].address()).await;
    // Decided, and not told yet: its slot is still open.
    until("outcome", TOLD_WITHIN, async || {
        let known = client.shard(ShardId(gone)).outcome(hash.parse()?).await;
        Ok(known.is_ok().then_some(()))
    })
    .await
    .unwrap();
    cluster.kill(Node::Executor(gone)).unwrap();
    goes_on_without(&cluster).await;
    cluster.restart(Node::Executor(gone)).unwrap();
    cluster.wait_ready(Node::Executor(gone)).unwrap();
    // The coordinator may not have heard of it yet, and says that it cannot know.
    until("word of its shard", TOLD_WITHIN, async || {
        let asked = client.rpc().request::<Value>("eth_getTransactionReceipt", json!([hash])).await;
        Ok(asked.is_ok().then_some(()))
    })
    .await
    .unwrap();
    let receipt = receipt(&client, &hash).await;
    let record = client.shard(ShardId(gone)).outcome(hash.parse().unwrap()).await.unwrap();
    assert_eq!(receipt["blockNumber"], format!("{:#x}", record.shown.0));
    assert_eq!(record.shown.0, record.number);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transaction_is_shown_in_the_block_that_it_saw() {
    let (_dir, cluster) = network();
    let client = cluster.client(0).unwrap();
    let (_, _, mut here) = wallets(&cluster);
    // Emits NUMBER: LOG0 of the word at memory 0.
    let init = Bytes::from_static(&hex!("435f5260205fa05f5ff3"));
    let mut from = here.remove(0);
    for _ in 0..5 {
        let signed = from.sign(&Call::create(init.clone())).unwrap();
        let hash: String = client.rpc().request("eth_sendRawTransaction", json!([signed])).await.unwrap();
        let receipt = receipt(&client, &hash).await;
        let seen: U256 = serde_json::from_value(receipt["logs"][0]["data"].clone()).unwrap();
        assert_eq!(receipt["blockNumber"], json!(format!("{seen:#x}")), "{receipt}");
        let block: Value =
            client.rpc().request("eth_getBlockByNumber", json!([receipt["blockNumber"], false])).await.unwrap();
        assert!(block["transactions"].as_array().unwrap().contains(&json!(hash)));
    }
}
