//! A devnet with cheats, whose processes are killed: what was set, when it is and what was gone back from stay so.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::rpc::Rpc;
use cluster::{Cluster, Node, Plan};
use dovetail_tests::testnet::program;
use serde_json::{Value, json};

const SHARDS_COUNT: u32 = 2;
const SOMEBODY: &str = "0x7777777777777777777777777777777777777777";

fn nodes() -> impl Iterator<Item = Node> {
    (0..SHARDS_COUNT).map(Node::Executor).chain([Node::Coordinator(0)])
}

/// Kills every process, and starts them again.
fn kill_all(cluster: &mut Cluster) {
    nodes().for_each(|node| cluster.kill(node).unwrap());
    nodes().for_each(|node| cluster.restart(node).unwrap());
    nodes().for_each(|node| cluster.wait_ready(node).unwrap());
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

async fn time(rpc: &Rpc) -> u64 {
    let block: Value = rpc.request("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
    number(&block["timestamp"])
}

/// Balance, nonce, code and a slot of [`SOMEBODY`].
async fn somebody(rpc: &Rpc) -> Vec<Value> {
    let mut parts = Vec::new();
    for method in ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"] {
        parts.push(rpc.request(method, json!([SOMEBODY, "latest"])).await.unwrap());
    }
    parts.push(rpc.request("eth_getStorageAt", json!([SOMEBODY, "0x4", "latest"])).await.unwrap());
    parts
}

async fn pay(rpc: &Rpc) -> String {
    let accounts: Vec<String> = rpc.request("eth_accounts", json!([])).await.unwrap();
    // All of it is named, so that the same is the same transaction.
    let transfer = json!([{ "from": accounts[0], "to": SOMEBODY, "value": "0x5", "gas": "0x186a0", "maxFeePerGas": "0x77359400",
                            "maxPriorityFeePerGas": "0x0" }]);
    rpc.request("eth_sendTransaction", transfer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_and_gone_back_from_outlives_a_kill_of_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { relays: 0, program: program().unwrap(), ..Plan::development(SHARDS_COUNT).unwrap() };
    let mut cluster = Cluster::start(plan.with_cheats(), dir.path()).unwrap();
    let rpc = Rpc::new(&cluster.rpc(0));
    let ask = async |method: &str, params: Value| rpc.request::<Value>(method, params).await.unwrap();
    let word = format!("0x{:064x}", 9);
    ask("anvil_setBalance", json!([SOMEBODY, "0x64"])).await;
    ask("anvil_setNonce", json!([SOMEBODY, "0x7"])).await;
    ask("anvil_setStorageAt", json!([SOMEBODY, "0x4", word])).await;
    ask("evm_increaseTime", json!([31_536_000])).await;
    ask("evm_mine", json!([])).await;
    let (set, later) = (somebody(&rpc).await, time(&rpc).await);
    assert_eq!(set, [json!("0x64"), json!("0x7"), json!("0x"), json!(word)]);
    kill_all(&mut cluster);
    assert_eq!((somebody(&rpc).await, time(&rpc).await), (set.clone(), later), "a year later still");

    let id = ask("evm_snapshot", json!([])).await;
    let first = pay(&rpc).await;
    assert_eq!(somebody(&rpc).await[0], "0x69");
    ask("anvil_setCode", json!([SOMEBODY, "0x00"])).await;
    ask("evm_increaseTime", json!([31_536_000])).await;
    ask("evm_mine", json!([])).await;
    assert_eq!(ask("evm_revert", json!([id])).await, json!(true));
    assert_eq!(somebody(&rpc).await, set);
    assert!(time(&rpc).await < later + 60, "time is back too");
    kill_all(&mut cluster);
    assert_eq!(somebody(&rpc).await, set);
    assert_eq!(ask("eth_getTransactionReceipt", json!([first])).await, Value::Null);
    assert_eq!(ask("evm_revert", json!([id])).await, json!(false), "ids are not kept");
    assert_eq!(pay(&rpc).await, first, "the same again");
    assert_eq!(somebody(&rpc).await[0], "0x69");
    cluster.stop().unwrap();
}

#[test]
fn a_clock_that_is_moved_and_a_network_without_cheats_do_not_start_together() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { relays: 0, program: program().unwrap(), ..Plan::development(1).unwrap() };
    let cluster = Cluster::lay_out(plan, dir.path()).unwrap();
    let settings = cluster.settings_path(Node::Executor(0));
    let mut text = std::fs::read_to_string(&settings).unwrap();
    text.push_str("\ncheats_clock = \"clock\"\n");
    std::fs::write(&settings, text).unwrap();
    let started = std::process::Command::new(program().unwrap()).args(["executor", "--config"]).arg(&settings).output();
    let output = started.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("the network has no cheats"), "{said}");
}
