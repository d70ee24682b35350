//! An old copy in the place of a shard's store is refused (R14): by the signer's mark, and where that is gone too by what the
//! other shards have seen. The newest store, put back, goes on.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, U256};
use cluster::client::Client;
use cluster::{Cluster, Node, Plan};
use dovetail_tests::testnet::program;
use fixtures::wallet::{Call, Wallet};
use host::network::GenesisAccount;
use primitives::ShardId;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The shard whose store is put back: the payer's.
const RESTORED: Node = Node::Executor(0);

/// How long a process may take to find out that its store is old.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

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

    /// Starts the shard, which has to end by itself, and gives what it said.
    fn refusal(&mut self) -> String {
        self.cluster.restart(RESTORED).unwrap();
        let give_up = Instant::now() + REFUSED_WITHIN;
        while !self.cluster.has_exited(RESTORED) {
            assert!(Instant::now() < give_up, "it runs on an old copy:\n{}", self.cluster.log_tail(RESTORED));
            std::thread::sleep(Duration::from_millis(20));
        }
        self.cluster.reap(RESTORED);
        self.cluster.log_tail(RESTORED)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn ether(count: u64) -> U256 {
    U256::from(count) * U256::from(10).pow(U256::from(18))
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// Stops the shard, copies its folder and its mark, and lets three payments commit; gives its head then and now.
async fn copied_then_paid(scene: &mut Scene) -> (u64, u64) {
    scene.pay(1).await;
    scene.stop();
    copy(&scene.path("executor-0"), &scene.path("copy"));
    copy(&scene.path("executor-0.signed"), &scene.path("copy.signed"));
    scene.start_again();
    let copied = scene.head().await;
    scene.pay(3).await;
    let newest = scene.head().await;
    scene.stop();
    fs::rename(scene.path("executor-0"), scene.path("newest")).unwrap();
    copy(&scene.path("copy"), &scene.path("executor-0"));
    (copied, newest)
}

/// Puts the newest store back, and sees that the shard goes on from it.
async fn put_back(scene: &mut Scene, newest: u64) {
    fs::remove_dir_all(scene.path("executor-0")).unwrap();
    fs::rename(scene.path("newest"), scene.path("executor-0")).unwrap();
    scene.start_again();
    assert_eq!(scene.head().await, newest);
    scene.pay(1).await;
    let balance = scene.client.rpc().request::<U256>("eth_getBalance", serde_json::json!([scene.friend, "pending"]));
    assert_eq!(balance.await.unwrap(), ether(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_shards_store_is_refused_and_the_newest_goes_on() {
    let mut scene = Scene::start();
    let (copied, newest) = copied_then_paid(&mut scene).await;
    let said = scene.refusal();
    assert!(said.contains(&format!("ends at block {copied} ")), "{said}");
    assert!(said.contains(&format!("signed up to block {newest} ")), "{said}");
    put_back(&mut scene, newest).await;
    scene.cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_without_its_mark_is_refused_by_what_the_others_have_seen() {
    let mut scene = Scene::start();
    let (copied, newest) = copied_then_paid(&mut scene).await;
    let newest_mark = scene.path("newest.signed");
    fs::rename(scene.path("executor-0.signed"), &newest_mark).unwrap();
    let said = scene.refusal();
    assert!(said.contains(&format!("ends at block {copied},")) && said.contains("was certified and seen"), "{said}");
    // The mark comes back with the copy, as when a whole machine is restored.
    copy(&scene.path("copy.signed"), &scene.path("executor-0.signed"));
    let said = scene.refusal();
    assert!(said.contains(&format!("ends at block {copied},")), "{said}");
    fs::rename(newest_mark, scene.path("executor-0.signed")).unwrap();
    put_back(&mut scene, newest).await;
    scene.cluster.stop().unwrap();
}
