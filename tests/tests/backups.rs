//! A copy of a running shard's store, made by `dovetail backup`: put back by `dovetail restore` where nobody has seen more of the shard,
//! and refused where the signer's mark or another shard has (R14).
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, U256};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use dovetail_tests::testnet::program;
use fixtures::wallet::{Call, Wallet};
use host::network::GenesisAccount;
use primitives::ShardId;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The shard whose store is put back: the payer's.
const RESTORED: Node = Node::Executor(0);

struct Scene {
    cluster: Cluster,
    client: Client,
    payer: Wallet,
    friend: Address,
    dir: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        let plan = Plan { relays: 1, program: program().unwrap(), ..Plan::development(2).unwrap() };
        let payer = Wallet::development(plan.network, 77).unwrap();
        let friend = Wallet::development(plan.network, 78).unwrap().address();
        let mut genesis = plan.genesis.clone();
        let rich = GenesisAccount { balance: ether(1_000), ..GenesisAccount::default() };
        genesis.accounts.insert(payer.address(), rich);
        let dir = tempfile::tempdir().unwrap();
        let pinned = [(payer.address(), 0), (friend, 1)].into();
        let cluster = Cluster::start(Plan { genesis, pinned, ..plan }, dir.path()).unwrap();
        let client = cluster.client(0).unwrap();
        Self { cluster, client, payer, friend, dir }
    }

    async fn pay(&mut self, times: usize) {
        for _ in 0..times {
            let call = Call::to(self.friend, []).with_value(ether(100));
            self.client.succeed(&mut self.payer, &call).await.unwrap();
        }
    }

    /// The shard's newest block, once there has been none for a while: applying a commit goes on after it is told.
    async fn head(&self) -> u64 {
        let (mut head, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_millis(600) {
            let now = self.client.shard(ShardId(0)).status().await.unwrap().head.0;
            if now != head {
                (head, since) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        head
    }

    fn stop(&mut self) {
        self.cluster.terminate(RESTORED).unwrap();
    }

    fn start_again(&mut self) {
        self.cluster.restart(RESTORED).unwrap();
        self.cluster.wait_ready(RESTORED).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a verb of the program says, and whether it succeeded.
    fn run(arguments: &[&str]) -> (bool, String) {
        let output = Command::new(program().unwrap()).args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// Has the running shard copy its store.
    fn back_up(&self, name: &str) -> PathBuf {
        let network = self.cluster.network_path();
        let endpoint = self.cluster.endpoint(RESTORED);
        let (is_made, said) = Self::run(&["backup", &endpoint, "--name", name, "--network", network.to_str().unwrap()]);
        assert!(is_made, "{said}");
        self.path("executor-0").join("backups").join(name)
    }

    fn restore(&self, copy: &std::path::Path) -> (bool, String) {
        let config = self.cluster.settings_path(RESTORED);
        Self::run(&["restore", copy.to_str().unwrap(), "--config", config.to_str().unwrap()])
    }

    /// The settings of another node of the shard, with a folder and ports of its own.
    fn settings_elsewhere(&self) -> PathBuf {
        let own = fs::read_to_string(self.cluster.settings_path(RESTORED)).unwrap();
        let mut settings: toml::Table = own.parse().unwrap();
        settings.insert("data".to_owned(), self.path("elsewhere").to_str().unwrap().into());
        for port in ["listen", "metrics_listen"] {
            settings.insert(port.to_owned(), "127.0.0.1:0".into());
        }
        let path = self.path("elsewhere.toml");
        fs::write(&path, settings.to_string()).unwrap();
        path
    }

    /// Stops the shard and moves its store away, as when its disk is lost; its copies are on another disk.
    fn lose(&mut self, copy: &std::path::Path) -> PathBuf {
        let kept = self.path("kept");
        fs::rename(copy, &kept).unwrap();
        self.stop();
        fs::rename(self.path("executor-0"), self.path("lost")).unwrap();
        kept
    }
}

fn ether(count: u64) -> U256 {
    U256::from(count) * U256::from(10).pow(U256::from(18))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_nobody_has_seen_more_than_goes_on() {
    let mut scene = Scene::start();
    scene.pay(2).await;
    let head = scene.head().await;
    let copy = scene.back_up("evening");
    let (is_restored, said) = scene.restore(&copy);
    assert!(!is_restored && said.contains("has a store already"), "{said}");
    let kept = scene.lose(&copy);
    let mark = scene.path("executor-0.signed");
    fs::remove_file(&mark).unwrap();
    let (is_restored, said) = scene.restore(&kept);
    assert!(is_restored && said.contains(&format!("of block {head} was put back")), "{said}");
    scene.start_again();
    assert_eq!(scene.head().await, head);
    scene.pay(1).await;
    let balance = scene.client.rpc().request::<U256>("eth_getBalance", serde_json::json!([scene.friend, "pending"]));
    assert_eq!(balance.await.unwrap(), ether(300));
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_of_a_running_shard_does_not_start() {
    let mut scene = Scene::start();
    scene.pay(1).await;
    let copy = scene.back_up("evening");
    let elsewhere = scene.settings_elsewhere();
    let (copy, config) = (copy.to_str().unwrap(), elsewhere.to_str().unwrap());
    for verb in [&["restore", copy, "--config", config][..], &["executor", "--config", config]] {
        let (is_done, said) = Scene::run(verb);
        assert!(!is_done && said.contains("shard 0 is served by a node that is running"), "{said}");
    }
    scene.pay(1).await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_somebody_has_seen_more_than_is_not_put_back() {
    let mut scene = Scene::start();
    scene.pay(1).await;
    scene.head().await;
    let copy = scene.back_up("evening");
    scene.pay(2).await;
    let newest = scene.head().await;
    let kept = scene.lose(&copy);
    let (is_restored, said) = scene.restore(&kept);
    assert!(!is_restored && said.contains("the signer's mark") && said.contains("The safe way"), "{said}");
    fs::remove_file(scene.path("executor-0.signed")).unwrap();
    let (is_restored, said) = scene.restore(&kept);
    assert!(!is_restored && said.contains("shard 1 proves block") && said.contains("The safe way"), "{said}");
    assert!(!scene.path("executor-0").join("db").exists(), "nothing was written");
    // The safe way: the newest store.
    if scene.path("executor-0").exists() {
        fs::remove_dir_all(scene.path("executor-0")).unwrap();
    }
    fs::rename(scene.path("lost"), scene.path("executor-0")).unwrap();
    scene.start_again();
    assert_eq!(scene.head().await, newest);
    scene.cluster.stop().unwrap();
}
