//! The usual contracts do over shards what they do on one chain.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use cluster::client::{Client, until};
use cluster::{Cluster, Plan};
use dovetail_tests::testnet::{SHARDS_COUNT, program};
use evm::{HISTORY_ADDRESS, HISTORY_CODE_HASH};
use fixtures::contracts::Artifact;
use fixtures::usual::{self, CREATE2_DEPLOYER, MULTICALL3};
use fixtures::wallet::{Call, Wallet};
use primitives::ShardId;
use serde_json::{Value, json};

sol! {
    struct Read { address target; bool allowFailure; bytes callData; }
    struct Answer { bool success; bytes returnData; }
    function aggregate3(Read[] calls) external returns (Answer[] answers);
    function count() external view returns (uint256);
    function increment(uint256 amount) external returns (uint256);
}

/// The transaction that deploys EIP-2935's contract on every chain: signed by nobody, and so for none.
const KEYLESS: &str = "0xf8838085e8d4a510008303d0908080b85c60538060095f395ff33373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff600143030655001b820539930aa12693182426612186309f02cfe8a80a0000";
/// Whom its signature recovers to.
const KEYLESS_SENDER: Address = address!("3462413Af4609098e1E27A490f554f260213D685");
/// Keeps what the contract and BLOCKHASH say of the block before, in slots 0 and 1; before it the code that deploys it.
const ASKER: &str = "600b380380600b5f395ff343600190035f5260205f60205f730000f90827f1c53a10cb7a02335b1753200029355afa505f515f55436001900340600155";

/// The first salt that CREATE2 turns into an address on `shard`, and that address.
fn salt_for(cluster: &Cluster, shard: ShardId, init_code: &[u8]) -> (B256, Address) {
    let mut places = (0_u64..).map(|number| {
        let salt = B256::from(U256::from(number));
        (salt, CREATE2_DEPLOYER.create2(salt, keccak256(init_code)))
    });
    places.find(|(_, address)| cluster.network().placement.shard_of(*address) == shard).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn create2_deploys_on_every_shard_and_multicall_reads_them_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { program: program().unwrap(), relays: 0, ..Plan::development(SHARDS_COUNT).unwrap() };
    let cluster = Cluster::start(plan.with_usual_contracts().unwrap(), dir.path()).unwrap();
    let client = cluster.client(0).unwrap();
    let mut wallet = Wallet::development(cluster.network().params.network.0, 0).unwrap();
    for contract in usual::ALL {
        let code: Bytes = client.rpc().request("eth_getCode", json!([contract.address, "latest"])).await.unwrap();
        assert_eq!(keccak256(code), contract.code_hash, "{}", contract.name);
    }
    let refused = client.rpc().request::<B256>("eth_sendRawTransaction", json!([KEYLESS])).await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("only replay-protected (EIP-155) transactions allowed over RPC"),
        "{refused:#}"
    );
    let init_code = Artifact::COUNTER.init_code(&[]).unwrap();
    let mut reads = Vec::new();
    for shard in 0..SHARDS_COUNT {
        let (salt, counter) = salt_for(&cluster, ShardId(shard), &init_code);
        let deploy = Call::to(CREATE2_DEPLOYER, [salt.as_slice(), &init_code].concat());
        client.succeed(&mut wallet, &deploy).await.unwrap();
        let increment = incrementCall { amount: U256::from(10 + shard) };
        client.succeed(&mut wallet, &Call::to(counter, increment.abi_encode())).await.unwrap();
        reads.push(Read { target: counter, allowFailure: false, callData: countCall {}.abi_encode().into() });
    }
    let answers = client.view(MULTICALL3, &aggregate3Call { calls: reads }).await.unwrap();
    let counts: Vec<U256> = answers.iter().map(|answer| U256::abi_decode(&answer.returnData).unwrap()).collect();
    assert_eq!(counts, (0..SHARDS_COUNT).map(|shard| U256::from(10 + shard)).collect::<Vec<_>>());
    cluster.stop().unwrap();
}

/// The receipt of a transaction, once its block is closed.
async fn receipt(client: &Client, hash: B256) -> Value {
    until("the receipt", || async {
        client.rpc().request::<Option<Value>>("eth_getTransactionReceipt", json!([hash])).await
    })
    .await
    .unwrap()
}

fn number(quantity: &Value) -> u64 {
    u64::from_str_radix(quantity.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyless_transaction_deploys_the_contract_that_tells_block_hashes_and_one_evm_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        program: program().unwrap(),
        relays: 0,
        takes_unprotected: true,
        ..Plan::development(SHARDS_COUNT).unwrap()
    };
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    let network = cluster.network().clone();
    let client = cluster.client(0).unwrap();
    let ask = async |method: &str, params: Value| client.rpc().request::<Value>(method, params).await.unwrap();
    let mut wallet = Wallet::development(network.params.network.0, 0).unwrap();
    let fund = Call::to(KEYLESS_SENDER, Vec::new()).with_value(U256::from(10).pow(U256::from(18)));
    client.succeed(&mut wallet, &fund).await.unwrap();
    let hash: B256 = client.rpc().request("eth_sendRawTransaction", json!([KEYLESS])).await.unwrap();
    let deployed = receipt(&client, hash).await;
    assert_eq!(deployed["contractAddress"], json!(HISTORY_ADDRESS.to_string().to_lowercase()), "{deployed}");
    let shown = ask("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&shown["v"], shown.get("chainId")), (&json!("0x1b"), None), "{shown}");
    let code: Bytes = client.rpc().request("eth_getCode", json!([HISTORY_ADDRESS, "latest"])).await.unwrap();
    assert_eq!(keccak256(code), HISTORY_CODE_HASH);

    let asker = wallet.next_contract();
    client.succeed(&mut wallet, &Call::create(hex::decode(ASKER).unwrap())).await.unwrap();
    let settled = client.succeed(&mut wallet, &Call::to(asker, Vec::new())).await.unwrap();
    let hash = settled.first().unwrap().transaction.unwrap();
    let block = number(&receipt(&client, hash).await["blockNumber"]);
    let parent = network.params.block_hash(block - 1).to_string();
    for slot in ["0x0", "0x1"] {
        assert_eq!(ask("eth_getStorageAt", json!([asker, slot, format!("{block:#x}")])).await, json!(parent));
    }
    // A slot, a call and a trace say the same, each of its block.
    let ring = format!("{:#x}", (block - 1) % 8191);
    let at = |slot: &str, block: u64| json!([HISTORY_ADDRESS, slot, format!("{block:#x}")]);
    assert_eq!(ask("eth_getStorageAt", at(&ring, block)).await, json!(parent));
    assert_eq!(ask("eth_getStorageAt", at(&ring, block - 1)).await, json!(B256::ZERO), "not yet");
    let get = json!({ "to": HISTORY_ADDRESS, "data": B256::from(U256::from(block - 1)) });
    assert_eq!(ask("eth_call", json!([get, format!("{block:#x}")])).await, json!(parent));
    let traced = ask("debug_traceTransaction", json!([hash, { "tracer": "callTracer" }])).await;
    assert_eq!(traced["calls"][0]["output"], json!(parent), "{traced}");
    let owner = client.shard(network.placement.shard_of(HISTORY_ADDRESS));
    let refused = owner.prove_state(HISTORY_ADDRESS, &[U256::ZERO]).await.unwrap_err();
    assert!(refused.to_string().contains("is computed"), "{refused}");
    assert_eq!(owner.prove_state(HISTORY_ADDRESS, &[]).await.unwrap().proofs.len(), 1);
    cluster.stop().unwrap();
    let report = judge::check(&network, &judge::stores(&network, dir.path())).unwrap();
    assert_eq!(report.transactions, 4, "{report}");
}
