//! A devnet that begins as another chain, an anvil on loopback: exact, the same for ever, and never a zero that nobody wrote.
//!
//! Without anvil these tests say so in a line and pass: `npm ci` in tests/e2e brings one.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, Bytes, U64, U256, address, b256, hex};
use cluster::anvil::{self, Anvil};
use cluster::client::{Client, until};
use cluster::rpc::Rpc;
use dovetail_tests::testnet::program;
use evm::{Environment, Payload, Placement};
use eyre::Result;
use fixtures::wallet::{Call, Wallet};
use host::network::Network;
use primitives::Time;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

/// The chain id of a devnet.
const CHAIN_ID: u64 = 0xd07e;

/// The secret key of anvil's first account: public knowledge.
const ANVIL_KEY: B256 = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");

/// Anvil's third account, which sends nothing here.
const IDLE: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");

/// A contract with 42 in slot 0. Called with one word, it gives back what is in that slot; with two, it puts the second there.
const KEEPER: [u8; 38] = hex!("602a5f556018600e5f3960185ff3602036116010575f35545f5260205ff35b6020355f355500");

/// How long a question about what cannot be known may take.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// A devnet of two shards, and where it is.
struct Devnet {
    child: Child,
    said: Value,
    rpc: Rpc,
}

impl Devnet {
    fn command(dir: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(program().unwrap());
        command.args(["devnet", "--shards", "2", "--relays", "0", "--accounts", "1", "--json", "--dir"]);
        command.arg(dir).args(more).stdin(Stdio::null());
        command
    }

    fn start(dir: &Path, more: &[&str]) -> Self {
        let mut child = Self::command(dir, more).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let rpc = Rpc::new(said["rpc"].as_str().unwrap());
        Self { child, said, rpc }
    }

    /// What one says that does not start.
    fn refused(dir: &Path, more: &[&str]) -> String {
        let output = Self::command(dir, more).output().unwrap();
        assert!(!output.status.success(), "it started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    async fn storage(&self, of: Address, slot: u64, block: Value) -> Result<U256> {
        self.rpc.request("eth_getStorageAt", json!([of, B256::from(U256::from(slot)), block])).await
    }

    async fn balance(&self, of: Address, block: Value) -> Result<U256> {
        self.rpc.request("eth_getBalance", json!([of, block])).await
    }

    async fn number(&self) -> u64 {
        self.rpc.request::<U64>("eth_blockNumber", json!([])).await.unwrap().to()
    }

    /// What a call of `to` with these words gives back.
    async fn ask(&self, to: Address, words: &[u64]) -> Result<U256> {
        Ok(U256::from_be_slice(&self.rpc.call(to, input(words)).await?))
    }

    /// Sends a transaction, and gives its receipt.
    async fn send(&self, wallet: &mut Wallet, call: &Call) -> Result<Value> {
        let hash: B256 = self.rpc.request("eth_sendRawTransaction", json!([wallet.sign(call)?])).await?;
        until("a receipt", || async {
            let receipt: Value = self.rpc.request("eth_getTransactionReceipt", json!([hash])).await?;
            Ok(Some(receipt).filter(|receipt| !receipt.is_null()))
        })
        .await
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn input(words: &[u64]) -> Bytes {
    words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect()
}

/// An anvil with a keeper on it, or nothing where there is none.
async fn anvil(arguments: &[&str]) -> Option<(Anvil, Address)> {
    let Some(binary) = anvil::program() else {
        println!("there is no anvil here: nothing was tested");
        return None;
    };
    let anvil = Anvil::start(&binary, arguments).await.unwrap();
    let keeper = anvil.deploy(KEEPER.to_vec().into()).await.unwrap();
    Some((anvil, keeper))
}

/// One URL that leads to one chain, and later to another.
struct Door {
    url: String,
    leads_to: Arc<Mutex<String>>,
}

impl Door {
    async fn open(url: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let leads_to = Arc::new(Mutex::new(authority(url)));
        let door = Self { url: format!("http://{}", listener.local_addr().unwrap()), leads_to: Arc::clone(&leads_to) };
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = leads_to.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        door
    }

    fn lead_to(&self, url: &str) {
        *self.leads_to.lock().unwrap() = authority(url);
    }
}

fn authority(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// The block that a transaction is shown in.
fn block_of(receipt: &Value) -> u64 {
    serde_json::from_value::<U64>(receipt["blockNumber"].clone()).unwrap().to()
}

#[tokio::test]
async fn a_devnet_begins_with_another_chain_and_goes_on_by_itself() {
    let Some((anvil, keeper)) = anvil(&[]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(dir.path(), &["--fork-url", anvil.url()]);
    assert_eq!((&devnet.said["forked"]["chain_id"], &devnet.said["chain_id"]), (&json!(31_337), &json!(CHAIN_ID)));
    let latest = || json!("latest");
    // What anvil does afterwards is nothing to the devnet.
    let later = json!({ "from": anvil.deployer, "to": keeper, "data": input(&[0, 43]), "value": "0x0" });
    let _: B256 = anvil.rpc().request("eth_sendTransaction", json!([later])).await.unwrap();
    let rich = U256::from(10_000) * U256::from(10).pow(U256::from(18));
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(42));
    assert_eq!(devnet.storage(keeper, 0, latest()).await.unwrap(), U256::from(42));
    assert_eq!(devnet.storage(keeper, 9, latest()).await.unwrap(), U256::ZERO);
    assert_eq!(devnet.balance(IDLE, latest()).await.unwrap(), rich);
    assert_eq!(devnet.balance(Address::repeat_byte(7), latest()).await.unwrap(), U256::ZERO);
    let here: Bytes = devnet.rpc.request("eth_getCode", json!([keeper, "latest"])).await.unwrap();
    let there: Bytes = anvil.rpc().request("eth_getCode", json!([keeper, "latest"])).await.unwrap();
    assert!(here == there && !here.is_empty());
    // Its accounts go on with their nonces, and its contracts with their storage, over all shards.
    let mut wallet = Wallet::of_secret(CHAIN_ID, ANVIL_KEY).unwrap();
    wallet.set_nonce(1);
    let receipt = devnet.send(&mut wallet, &Call::to(keeper, input(&[0, 44]))).await.unwrap();
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(44));
    let paid = devnet.send(&mut wallet, &Call::to(IDLE, Bytes::new()).with_value(U256::from(5))).await.unwrap();
    assert_eq!(paid["status"], "0x1");
    assert_eq!(devnet.rpc.balance(IDLE).await.unwrap(), rich + U256::from(5));
    // Before that it was as it had always been, also where nobody had looked then.
    let before = format!("{:#x}", block_of(&receipt) - 1);
    until("the block before is closed", || async { Ok((devnet.number().await >= block_of(&paid)).then_some(())) })
        .await
        .unwrap();
    assert_eq!(devnet.storage(keeper, 0, json!(before)).await.unwrap(), U256::from(42));
    assert_eq!(devnet.balance(IDLE, json!(before)).await.unwrap(), rich);
    let carrier = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
    assert_eq!(devnet.balance(carrier, json!(before)).await.unwrap(), rich);
}

#[tokio::test]
async fn a_forked_devnet_with_cheats_changes_what_the_other_chain_has_and_goes_back_to_it() {
    let Some((anvil, keeper)) = anvil(&[]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(dir.path(), &["--fork-url", anvil.url(), "--cheats"]);
    let ask = async |method: &str, params: Value| -> Value { devnet.rpc.request(method, params).await.unwrap() };
    let rich = U256::from(10_000) * U256::from(10).pow(U256::from(18));
    let snapshot = ask("evm_snapshot", json!([])).await;
    // Nobody has read this account: its code and what else is in it stay.
    ask("anvil_setBalance", json!([keeper, "0x7"])).await;
    ask("anvil_setStorageAt", json!([keeper, B256::from(U256::from(9)), B256::from(U256::from(3))])).await;
    assert_eq!(devnet.balance(keeper, json!("latest")).await.unwrap(), U256::from(7));
    assert_eq!(
        (devnet.ask(keeper, &[0]).await.unwrap(), devnet.ask(keeper, &[9]).await.unwrap()),
        (U256::from(42), U256::from(3))
    );
    // Whoever has ether there pays here, without his key.
    ask("anvil_impersonateAccount", json!([IDLE])).await;
    let sent = ask("eth_sendTransaction", json!([{ "from": IDLE, "to": keeper, "data": input(&[0, 44]) }])).await;
    assert_eq!(ask("eth_getTransactionReceipt", json!([sent])).await["status"], "0x1");
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(44));
    assert!(devnet.balance(IDLE, json!("latest")).await.unwrap() < rich);
    assert_eq!(ask("evm_revert", json!([snapshot])).await, json!(true));
    assert_eq!(
        (devnet.ask(keeper, &[0]).await.unwrap(), devnet.ask(keeper, &[9]).await.unwrap()),
        (U256::from(42), U256::ZERO)
    );
    assert_eq!(devnet.balance(IDLE, json!("latest")).await.unwrap(), rich);
    ask("anvil_setNonce", json!([IDLE, "0x9"])).await;
    ask("anvil_reset", json!([])).await;
    let nonce: U64 = devnet.rpc.request("eth_getTransactionCount", json!([IDLE, "latest"])).await.unwrap();
    assert_eq!(nonce.to::<u64>(), 0);
}

// The client's connections are driven until the devnet has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_reads_by_itself_what_a_transaction_needs_that_nobody_read_for_it() {
    let Some((anvil, _)) = anvil(&[]).await else { return };
    let mut wallet = Wallet::development(CHAIN_ID, 0).unwrap();
    let placement = Placement::new(1, 2, [].into()).unwrap();
    let home = placement.shard_of(wallet.address());
    let stranger =
        (1..=u8::MAX).map(Address::repeat_byte).find(|address| placement.shard_of(*address) == home).unwrap();
    let _: Value = anvil.rpc().request("anvil_setBalance", json!([stranger, "0x7"])).await.unwrap();
    let _: Value = anvil.rpc().request("evm_mine", json!([])).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(dir.path(), &["--fork-url", anvil.url()]);
    let network = Network::load(Path::new(devnet.said["network_file"].as_str().unwrap())).unwrap();
    let coordinator = devnet.said["coordinator_grpc"].as_str().unwrap();
    let client = Client::open(&network, coordinator, devnet.said["rpc"].as_str().unwrap()).unwrap();
    // Past the coordinator, which would have read them first.
    let bytes = wallet.sign(&Call::to(stranger, Bytes::new()).with_value(U256::from(5))).unwrap();
    let now = UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let slot = network.params.slot_at(Time(now));
    let payload = Payload::signed(Environment::Slot(slot), bytes.to_vec());
    let executed = client.shard(home).submit_local(&[payload]).await.unwrap().remove(0).unwrap();
    assert_eq!(executed.len(), 1);
    assert_eq!(devnet.rpc.balance(stranger).await.unwrap(), U256::from(12));
}

#[tokio::test]
async fn without_the_other_chain_what_is_known_is_served_and_the_rest_is_an_error() {
    let Some((anvil, keeper)) = anvil(&[]).await else { return };
    let url = anvil.url().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(dir.path(), &["--fork-url", &url]);
    let rich = devnet.balance(IDLE, json!("latest")).await.unwrap();
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(42));
    drop(anvil);
    check_alone(&devnet, keeper, rich).await;
    // The same folder again, with nobody to ask.
    drop(devnet);
    let devnet = Devnet::start(dir.path(), &[]);
    check_alone(&devnet, keeper, rich).await;
    let mut wallet = Wallet::development(CHAIN_ID, 0).unwrap();
    let receipt = devnet.send(&mut wallet, &Call::to(IDLE, Bytes::new()).with_value(U256::from(5))).await.unwrap();
    assert_eq!(receipt["status"], "0x1", "what is known goes on");
    // And a transaction that needs what is not known is told so instead of being kept.
    let begun = Instant::now();
    let lost =
        devnet.send(&mut wallet, &Call::to(Address::repeat_byte(8), Bytes::new())).await.unwrap_err().to_string();
    assert!(lost.contains("-32002") && lost.contains("the chain at 127.0.0.1"), "{lost}");
    assert!(begun.elapsed() < TOLD_WITHIN, "{:?}", begun.elapsed());
}

async fn check_alone(devnet: &Devnet, keeper: Address, rich: U256) {
    assert_eq!(devnet.balance(IDLE, json!("latest")).await.unwrap(), rich);
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(42));
    let begun = Instant::now();
    for unknown in [
        devnet.balance(Address::repeat_byte(7), json!("latest")).await,
        devnet.storage(keeper, 1, json!("latest")).await,
        devnet.ask(keeper, &[1]).await,
    ] {
        let error = unknown.unwrap_err().to_string();
        assert!(error.contains("-32002") && error.contains("the chain at 127.0.0.1"), "{error}");
    }
    assert!(begun.elapsed() < 3 * TOLD_WITHIN, "{:?}", begun.elapsed());
}

// The door is held while the devnet is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn another_chain_behind_the_same_url_is_noticed_before_a_value_of_it_is_taken() {
    let Some((anvil, keeper)) = anvil(&[]).await else { return };
    let door = Door::open(anvil.url()).await;
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(dir.path(), &["--fork-url", &door.url]);
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(42));
    // Its blocks have the same numbers, and other times.
    let other = Anvil::start(&anvil::program().unwrap(), &["--timestamp", "1000"]).await.unwrap();
    door.lead_to(other.url());
    drop(anvil);
    other.deploy(KEEPER.to_vec().into()).await.unwrap();
    let error = devnet.balance(Address::repeat_byte(7), json!("latest")).await.unwrap_err().to_string();
    assert!(error.contains("it is another chain now"), "{error}");
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(42), "what is known stays");
}

#[tokio::test]
async fn what_cannot_be_forked_is_refused_in_a_sentence() {
    let Some((anvil, _)) = anvil(&[]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, words) in [
        (&["--fork-url", "mainnet"][..], "neither http:// nor https://"),
        (&["--fork-url", "ws://127.0.0.1:1"], "neither http:// nor https://"),
        (&["--fork-url", "http://"], "is not the URL"),
        (&["--fork-url", &format!("http://{closed}")], "gives no answer"),
        (&["--fork-url", anvil.url(), "--fork-block", "999"], "has no block 999"),
        (&["--fork-block", "1"], "--fork-url"),
    ] {
        let said = Devnet::refused(dir.path(), arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    drop(Devnet::start(dir.path(), &["--fork-url", anvil.url(), "--fork-block", "0"]));
    let said = Devnet::refused(dir.path(), &["--fork-url", anvil.url(), "--fork-block", "1"]);
    assert!(said.contains("was forked from block 0") && said.contains("another --dir"), "{said}");
    let other = Anvil::start(&anvil::program().unwrap(), &["--timestamp", "1000"]).await.unwrap();
    let said = Devnet::refused(dir.path(), &["--fork-url", other.url()]);
    assert!(said.contains("was forked from block 0") && said.contains("another chain now"), "{said}");
    let plain = tempfile::tempdir().unwrap();
    drop(Devnet::start(plain.path(), &[]));
    let said = Devnet::refused(plain.path(), &["--fork-url", anvil.url()]);
    assert!(said.contains("was not forked"), "{said}");
}

#[tokio::test]
async fn anvil_forks_a_devnet_at_a_block_gone_by() {
    let Some(binary) = anvil::program() else { return println!("there is no anvil here: nothing was tested") };
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(dir.path(), &[]);
    let mut wallet = Wallet::development(CHAIN_ID, 0).unwrap();
    let keeper = wallet.next_contract();
    devnet.send(&mut wallet, &Call::create(KEEPER)).await.unwrap();
    let paid = devnet.send(&mut wallet, &Call::to(IDLE, Bytes::new()).with_value(U256::from(5))).await.unwrap();
    let then = block_of(&paid);
    until("a later block", || async { Ok((devnet.number().await > then + 1).then_some(())) }).await.unwrap();
    for call in [Call::to(keeper, input(&[0, 44])), Call::to(IDLE, Bytes::new()).with_value(U256::from(2))] {
        devnet.send(&mut wallet, &call).await.unwrap();
    }
    let url = devnet.said["rpc"].as_str().unwrap();
    let fork = Anvil::start(&binary, &["--fork-url", url, "--fork-block-number", &then.to_string()]).await.unwrap();
    let chain: U64 = fork.rpc().request("eth_chainId", json!([])).await.unwrap();
    let number: U64 = fork.rpc().request("eth_blockNumber", json!([])).await.unwrap();
    assert_eq!((chain.to::<u64>(), number.to::<u64>()), (CHAIN_ID, then));
    let slot: U256 = fork.rpc().request("eth_getStorageAt", json!([keeper, B256::ZERO, "latest"])).await.unwrap();
    let code: Bytes = fork.rpc().request("eth_getCode", json!([keeper, "latest"])).await.unwrap();
    assert_eq!(slot, U256::from(42), "as it was then, not as it is");
    assert!(!code.is_empty());
    let idle: U256 = fork.rpc().request("eth_getBalance", json!([IDLE, "latest"])).await.unwrap();
    let sent: U64 = fork.rpc().request("eth_getTransactionCount", json!([wallet.address(), "latest"])).await.unwrap();
    let called = fork.rpc().call(keeper, input(&[0])).await.unwrap();
    assert_eq!((sent.to::<u64>(), U256::from_be_slice(&called)), (2, U256::from(42)));
    // Anvil gives ether to its own accounts, of which IDLE is one.
    assert!(idle > U256::from(5));
    // And goes on from there, without the devnet hearing of it.
    fork.rpc()
        .request::<B256>(
            "eth_sendTransaction",
            json!([{ "from": fork.deployer, "to": keeper, "data": input(&[0, 45]) }]),
        )
        .await
        .unwrap();
    assert_eq!(devnet.ask(keeper, &[0]).await.unwrap(), U256::from(44));
}
