//! A bridge of real processes between Hyperlane's unmodified contracts on anvil and a network: each message once, whatever is killed.
//!
//! Without anvil these tests say so in a line and pass: `npm ci` in tests/e2e brings one.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
#![allow(clippy::similar_names, reason = "Ping and Pong are the contracts' names")]

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use cluster::anvil::{self, Anvil, CHAIN_ID, Hyperlane};
use cluster::bridge::{self, Bridge, Places};
use cluster::client::{Client, until};
use cluster::{Cluster, Plan};
use dovetail_tests::testnet::program;
use evm::mailbox_address;
use eyre::{Result, ensure, eyre};
use fixtures::contracts::{Artifact, Ping, Pong};
use fixtures::hyperlane::ForeignMailbox;
use fixtures::wallet::{Call, Wallet};
use primitives::ShardId;
use proof::domain_of;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use tempfile::TempDir;

const HERE: ShardId = ShardId(1);

/// A network, an anvil and a bridge, with a Ping and a Pong here and a Pong there.
struct Both {
    dir: TempDir,
    cluster: Cluster,
    client: Client,
    anvil: Anvil,
    hyperlane: Hyperlane,
    bridge: Bridge,
    wallet: Wallet,
    ping: Address,
    pong: Address,
    pong_there: Address,
}

impl Both {
    /// All of it, or nothing where there is no anvil.
    async fn start() -> Result<Option<Self>> {
        let Some(binary) = anvil::program() else {
            println!("there is no anvil here: nothing was tested");
            return Ok(None);
        };
        let anvil = Anvil::start(&binary, &[]).await?;
        let hyperlane = bridge::deploy(&anvil).await?;
        let pong_there = anvil.deploy(Artifact::PONG.init_code(&hyperlane.mailbox.abi_encode())?).await?;
        let (dir, mut wallet) = (tempfile::tempdir()?, Wallet::development(CHAIN_ID, 0)?);
        let [ping, pong] = [0, 1].map(|nonce| wallet.address().create(nonce));
        let pinned: BTreeMap<_, _> = [ping, pong, wallet.address()].map(|address| (address, HERE.0)).into();
        let (places, routes) = (Places::reserve()?, vec![bridge::route(hyperlane.mailbox)?]);
        let bridges = places.asked();
        let plan = Plan { pinned, routes, bridges, relays: 1, program: program()?, ..Plan::development(2)? };
        let cluster = Cluster::start(plan, &dir.path().join("network"))?;
        let client = cluster.client(0)?;
        for artifact in [Artifact::PING, Artifact::PONG] {
            let code = artifact.init_code(&mailbox_address(HERE).abi_encode())?;
            client.succeed(&mut wallet, &Call::create(code)).await?;
        }
        // There is one anvil: its endpoint under two names stands for two providers.
        let second = anvil.url().replace("127.0.0.1", "localhost");
        let endpoints = [anvil.url().to_owned(), second];
        let bridge = Bridge::start(places, (&cluster, &program()?), (&anvil, &endpoints), &dir.path().join("bridge"))?;
        Ok(Some(Self { dir, cluster, client, anvil, hyperlane, bridge, wallet, ping, pong, pong_there }))
    }

    /// Ping here sends to Pong there; the message's id.
    async fn send_out(&mut self, body: &[u8]) -> Result<B256> {
        let send = Ping::sendCall {
            destination: CHAIN_ID as u32,
            recipient: self.pong_there.into_word(),
            body: body.to_vec().into(),
            gasLimit: 200_000,
            deadlineMs: u64::MAX,
        };
        let settled = self.client.succeed(&mut self.wallet, &Call::to(self.ping, send.abi_encode())).await?;
        let of_mailbox = settled.first()?.logs.iter().find(|log| log.address == mailbox_address(HERE));
        Ok(*of_mailbox.and_then(|log| log.topics.get(1)).ok_or_else(|| eyre!("nothing was sent"))?)
    }

    /// An account there sends to Pong here.
    async fn send_in(&self, body: &[u8]) -> Result<()> {
        let network = self.cluster.network().params.network;
        let dispatch = ForeignMailbox::dispatchCall {
            destination: domain_of(network, HERE),
            recipient: self.pong.into_word(),
            body: body.to_vec().into(),
        };
        self.anvil.send(self.hyperlane.mailbox, &dispatch).await?;
        Ok(())
    }

    /// The one log of `event` that the mailbox there wrote of `message`, or of any but that.
    async fn log_there(&self, event: &str, message: Result<B256, B256>) -> Result<Value> {
        let filter = json!({ "fromBlock": "0x0", "address": self.hyperlane.mailbox, "topics": [keccak256(event)] });
        let mut logs: Vec<Value> = self.anvil.rpc().request("eth_getLogs", json!([filter])).await?;
        logs.retain(|log| match message {
            Ok(message) => log["topics"][1] == json!(message),
            Err(other) => log["topics"][1] != json!(other),
        });
        ensure!(logs.len() == 1, "{event}: {logs:?}");
        Ok(logs.remove(0))
    }

    /// What the explorer tells of a message, as soon as it tells a transaction there that did `step` and is final.
    async fn explained(&self, id: B256, step: &str) -> Value {
        let path = format!("/explorer/api/v1/messages/{id}");
        let told = until("a transaction of the foreign chain", || async {
            let told = self.client.rpc().get(&path).await?;
            let is_it = |hop: &Value| hop["step"] == step && hop["state"] == "final";
            let hops = told["foreign"]["hops"].as_array().cloned().unwrap_or_default();
            Ok(hops.iter().any(is_it).then_some(told))
        });
        told.await.unwrap_or_else(|error| panic!("{error}\n{}", self.bridge.logs()))
    }

    async fn received_there(&self) -> Result<U256> {
        self.anvil.view(self.pong_there, &Pong::receivedCountCall {}).await
    }

    async fn received_here(&self) -> Result<U256> {
        self.client.view(self.pong, &Pong::receivedCountCall {}).await
    }

    /// Waits until so many have come to either side.
    async fn arrive(&self, count: u64) {
        let count = U256::from(count);
        let all = until("all messages", || async {
            let (here, there) = (self.received_here().await?, self.received_there().await?);
            Ok((here >= count && there >= count).then_some((here, there)))
        });
        let all = all.await.unwrap_or_else(|error| panic!("{error}\n{}", self.bridge.logs()));
        assert_eq!(all, (count, count), "each once");
    }

    /// Waits until Ping has been told of the end of so many.
    async fn ended(&self, count: u64) {
        let count = U256::from(count);
        let told = until("every end", || async {
            let told = self.client.view(self.ping, &Ping::deliveredCountCall {}).await?;
            Ok((told >= count).then_some(told))
        });
        let told = told.await.unwrap_or_else(|error| panic!("{error}\n{}", self.bridge.logs()));
        assert_eq!(told, count, "each once");
    }

    /// What `dovetail bridge` says, and whether it could be done.
    fn operator(&self, verb: &[&str]) -> (bool, String) {
        Self::operator_at(&self.bridge.operator(), verb)
    }

    fn operator_at(at: &str, verb: &[&str]) -> (bool, String) {
        Self::run(Command::new(program().unwrap()).args(["bridge", "--at", at]).args(verb))
    }

    /// What `dovetail trace` says of a message, with all nodes of the bridge asked.
    fn trace(&self, id: B256) -> (bool, String) {
        let mut command = Command::new(program().unwrap());
        command.args(["trace", &id.to_string(), "--network"]).arg(self.cluster.network_path());
        command.args(["--bridge", &self.bridge.operator()]);
        for number in 0..3 {
            command.args(["--bridge", &self.bridge.attestors_operator(number)]);
        }
        Self::run(&mut command)
    }

    fn run(command: &mut Command) -> (bool, String) {
        let ran = command.output().unwrap();
        let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (ran.status.success(), said)
    }

    /// Stops all of it; the oracle replays what the shards committed, foreign messages included.
    fn judge(self) -> judge::Report {
        let (network, stores) = (self.cluster.network().clone(), self.dir.path().join("network"));
        self.bridge.stop().unwrap();
        self.cluster.stop().unwrap();
        judge::check(&network, &judge::stores(&network, &stores)).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn key_of(origin: u32, sender: Address, body: &[u8]) -> B256 {
    keccak256((origin, sender.into_word(), Bytes::from(body.to_vec())).abi_encode_params())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_out_and_one_comes_in_through_hyperlanes_own_contracts() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    both.send_out(b"out").await.unwrap();
    both.send_in(b"in").await.unwrap();
    both.arrive(1).await;
    let from_here = domain_of(both.cluster.network().params.network, HERE);
    let there = Pong::countOfCall { key: key_of(from_here, both.ping, b"out") };
    assert_eq!(both.anvil.view(both.pong_there, &there).await.unwrap(), U256::from(1));
    let here = Pong::countOfCall { key: key_of(CHAIN_ID as u32, both.anvil.deployer, b"in") };
    assert_eq!(both.client.view(both.pong, &here).await.unwrap(), U256::from(1));
    both.ended(1).await;
    let report = both.judge();
    assert_eq!((report.foreign_messages, report.messages_under_way), (1, 0));
}

/// The hop of this step, which every attestor tells as the chain's own log has it.
fn assert_hop(told: &Value, step: &str, log: &Value) {
    let hops = told["foreign"]["hops"].as_array().unwrap();
    let hops: Vec<_> = hops.iter().filter(|hop| hop["step"] == step).collect();
    assert_eq!(hops.len(), 1, "{told}");
    let hop = hops[0];
    assert_eq!((&hop["transaction"], &hop["blockHash"]), (&log["transactionHash"], &log["blockHash"]), "{told}");
    let number = log["blockNumber"].as_str().unwrap().trim_start_matches("0x");
    assert_eq!(hop["block"].as_u64(), Some(u64::from_str_radix(number, 16).unwrap()), "{told}");
    assert!(!hop["toldBy"].as_array().unwrap().is_empty(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_explorer_tells_the_transactions_there_and_who_is_silent() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    let out = both.send_out(b"out").await.unwrap();
    both.send_in(b"in").await.unwrap();
    both.arrive(1).await;
    both.ended(1).await;
    let told = both.explained(out, "processed").await;
    let out: B256 = serde_json::from_value(told["message"]["v3Id"].clone()).unwrap();
    assert_hop(&told, "processed", &both.log_there("ProcessId(bytes32)", Ok(out)).await.unwrap());
    assert_eq!((&told["isOver"], &told["foreign"]["chainId"]), (&json!(true), &json!(CHAIN_ID)));
    // What an account there sent is told by the one that sent it: nobody without code is told how it ended.
    let dispatched = both.log_there("DispatchId(bytes32)", Err(B256::ZERO)).await.unwrap();
    let id: B256 = serde_json::from_value(dispatched["topics"][1].clone()).unwrap();
    let told = both.explained(id, "dispatched").await;
    assert_hop(&told, "dispatched", &dispatched);
    assert_eq!(told["foreign"]["hops"].as_array().map(Vec::len), Some(1), "{told}");
    // A journal has it after a restart too; who is away is named, and the others tell it.
    both.bridge.kill_carrier().unwrap();
    both.bridge.kill_attestor(0).unwrap();
    both.bridge.kill_attestor(1).unwrap();
    both.bridge.start_attestor(1).unwrap();
    let alone = until("those that are away", || async {
        let told = both.client.rpc().get(&format!("/explorer/api/v1/messages/{id}")).await?;
        let silent: Vec<bool> =
            told["foreign"]["nodes"].as_array().unwrap().iter().map(|node| !node["silent"].is_null()).collect();
        Ok((silent == [true, false, false, true]).then_some(told))
    });
    let told = alone.await.unwrap();
    assert_eq!(told["foreign"]["hops"][0]["toldBy"], json!([1, 2]), "{told}");
    assert_hop(&told, "dispatched", &dispatched);
    assert_eq!(both.judge().messages_under_way, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_tells_a_whole_life_with_its_transactions_there_and_an_attestor_takes_orders() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    let out = both.send_out(b"out").await.unwrap();
    both.send_in(b"in").await.unwrap();
    both.arrive(1).await;
    both.ended(1).await;
    let delivered = both.log_there("ProcessId(bytes32)", Err(B256::ZERO)).await.unwrap();
    let dispatched = both.log_there("DispatchId(bytes32)", Err(B256::ZERO)).await.unwrap();
    let came_in: B256 = serde_json::from_value(dispatched["topics"][1].clone()).unwrap();
    for (id, log, step) in [(out, delivered, "delivered there"), (came_in, dispatched, "sent there")] {
        let hash = log["transactionHash"].as_str().unwrap().to_owned();
        let told = until("the transaction there", || async {
            let (_, told) = both.trace(id);
            Ok(told
                .contains(&format!("{step} on chain {CHAIN_ID}: final: transaction {hash} of block"))
                .then_some(told))
        });
        let told = told.await.unwrap_or_else(|error| panic!("{error}\n{}\n{}", both.trace(id).1, both.bridge.logs()));
        let by = both.bridge.attestors_operator(0);
        assert!(told.contains(&by), "whoever tells it is named: {told}");
    }
    let (known, told) = both.trace(B256::repeat_byte(0xee));
    assert!(!known && told.contains("no shard of this network knows message"), "{told}");
    // An attestor has ways and no letters.
    let at = both.bridge.attestors_operator(1);
    assert!(Both::operator_at(&at, &["pause", "in", "--reason", "a theft there"]).0);
    let (_, routes) = Both::operator_at(&at, &["routes"]);
    assert!(routes.contains("in   paused: a theft there") && routes.contains("out  goes"), "{routes}");
    let (done, said) = Both::operator_at(&at, &["dead-letters", "list"]);
    assert!(!done && said.contains("ask a carrier"), "{said}");
    assert!(Both::operator_at(&at, &["resume", "in"]).0);
    let (done, said) = both.operator(&["why", &B256::repeat_byte(0xee).to_string()]);
    assert!(!done && said.contains("nobody here has heard of it"), "{said}");
    // What was brought is heard again, and brought once.
    assert!(both.operator(&["rescan", "0..1000000"]).0);
    assert!(both.operator(&["rescan", "0..1000000", "--way", "out"]).0);
    both.send_out(b"more").await.unwrap();
    both.send_in(b"more").await.unwrap();
    both.arrive(2).await;
    both.ended(2).await;
    assert_eq!(both.judge().messages_under_way, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_whose_carrier_and_attestors_are_killed_loses_and_doubles_nothing() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    for round in 1..=4_u8 {
        both.send_out(&[round]).await.unwrap();
        both.send_in(&[round]).await.unwrap();
        both.bridge.kill_carrier().unwrap();
        // One attestor of three may be away; it comes back and has lost nothing.
        both.bridge.kill_attestor(usize::from(round) % 3).unwrap();
        both.bridge.start_carrier().unwrap();
        both.arrive(u64::from(round)).await;
        both.bridge.start_attestor(usize::from(round) % 3).unwrap();
    }
    both.ended(4).await;
    let report = both.judge();
    assert_eq!((report.foreign_messages, report.messages_under_way), (4, 0));
}

/// Runtime code that goes through where nothing is paid for gas, as in an estimate, and reverts where it is mined.
const PASSES_ESTIMATES_ALONE: &[u8] = &[0x3a, 0x15, 0x60, 0x0a, 0x57, 0x60, 0, 0x60, 0, 0xfd, 0x5b, 0];

/// Init code that puts `code`, of less than 256 bytes, there.
fn init_code(code: &[u8]) -> Bytes {
    let length = u8::try_from(code.len()).unwrap();
    [&[0x60, length, 0x60, 0x0c, 0x60, 0, 0x39, 0x60, length, 0x60, 0, 0xf3][..], code].concat().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_reverts_when_it_is_mined_is_tried_three_times_and_is_then_for_a_person() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    let good = both.pong_there;
    both.pong_there = both.anvil.deploy(init_code(PASSES_ESTIMATES_ALONE)).await.unwrap();
    both.send_out(b"poison").await.unwrap();
    both.pong_there = good;
    // What comes after it, in both directions, waits for nothing.
    both.send_out(b"plain").await.unwrap();
    both.send_in(b"plain").await.unwrap();
    both.arrive(1).await;
    both.ended(1).await;
    let listed = until("a letter", || async {
        let (_, said) = both.operator(&["dead-letters", "list"]);
        Ok(said.contains("1 in all").then_some(said))
    });
    let listed = listed.await.unwrap_or_else(|error| panic!("{error}\n{}", both.bridge.logs()));
    assert!(listed.contains("3 tries") && listed.contains("reverted"), "{listed}");
    let id = listed.split_whitespace().next().unwrap().to_owned();
    let (_, why) = both.operator(&["why", &id]);
    assert!(why.contains("put aside after 3 tries"), "{why}");
    let (refunded, said) = both.operator(&["dead-letters", "refund", &id]);
    assert!(!refunded && said.contains("keeps no deadline"), "{said}");
    // It outlives the process, and is not tried by the next one.
    both.bridge.kill_carrier().unwrap();
    both.bridge.start_carrier().unwrap();
    both.send_out(b"more").await.unwrap();
    both.send_in(b"more").await.unwrap();
    both.arrive(2).await;
    assert!(both.operator(&["dead-letters", "list"]).1.contains("1 in all"));
    let (_, routes) = both.operator(&["routes"]);
    assert!(routes.contains("1 letters"), "{routes}");
    let (dropped, _) = both.operator(&["dead-letters", "drop", &id, "--reason", "its contract is broken"]);
    assert!(dropped && both.operator(&["dead-letters", "list"]).1.contains("0 in all"));
    both.ended(2).await;
    assert_eq!(both.judge().messages_under_way, 1, "nobody can say that it was not delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_what_is_new_and_loses_nothing() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    both.send_out(b"first").await.unwrap();
    both.send_in(b"first").await.unwrap();
    both.arrive(1).await;
    assert!(both.operator(&["pause", "both", "--reason", "a drill"]).0);
    both.send_out(b"second").await.unwrap();
    both.send_in(b"second").await.unwrap();
    // What was under way still ends: its shard hears of it while the way in takes no messages.
    both.ended(1).await;
    both.bridge.kill_carrier().unwrap();
    both.bridge.start_carrier().unwrap();
    let paused = until("the pause after a restart", || async {
        let (_, routes) = both.operator(&["routes"]);
        Ok(routes.contains("paused: a drill").then_some(()))
    });
    paused.await.unwrap();
    let (here, there) = (both.received_here().await.unwrap(), both.received_there().await.unwrap());
    assert_eq!((here, there), (U256::from(1), U256::from(1)));
    assert!(both.operator(&["resume", "both"]).0);
    both.arrive(2).await;
    both.ended(2).await;
    assert_eq!(both.judge().foreign_messages, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_starts_again_goes_on_where_it_was() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    for round in 1..=3_u8 {
        both.send_out(&[round]).await.unwrap();
        both.send_in(&[round]).await.unwrap();
    }
    both.arrive(3).await;
    both.ended(3).await;
    let cursor = both.dir.path().join("bridge/carrier/cursor-out.json");
    // Three messages, and three that tell the sender there how its own ended, which are settled later.
    let passed = until("the cursor", || async {
        let places: serde_json::Value = serde_json::from_slice(&std::fs::read(&cursor)?)?;
        let of_shard = |shards: &serde_json::Value| shards["1"].as_u64().is_some_and(|index| index >= 1);
        Ok(places["outbound"].as_object().is_some_and(|all| all.values().any(of_shard)).then_some(()))
    });
    passed.await.unwrap_or_else(|error| panic!("{error}\n{}", both.bridge.logs()));
    both.bridge.kill_carrier().unwrap();
    both.bridge.start_carrier().unwrap();
    both.send_out(b"more").await.unwrap();
    both.send_in(b"more").await.unwrap();
    both.arrive(4).await;
    both.ended(4).await;
    // Without its folder it asks the shards, and does nothing twice.
    both.bridge.kill_carrier().unwrap();
    std::fs::remove_dir_all(both.dir.path().join("bridge/carrier")).unwrap();
    both.bridge.start_carrier().unwrap();
    both.send_out(b"last").await.unwrap();
    both.send_in(b"last").await.unwrap();
    both.arrive(5).await;
    both.ended(5).await;
    assert_eq!(both.judge().foreign_messages, 5);
}
