//! The usual contracts do over shards what they do on one chain.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use cluster::{Cluster, Plan};
use dovetail_tests::testnet::{SHARDS_COUNT, program};
use fixtures::contracts::Artifact;
use fixtures::usual::{self, CREATE2_DEPLOYER, MULTICALL3};
use fixtures::wallet::{Call, Wallet};
use primitives::ShardId;
use serde_json::json;

sol! {
    struct Read { address target; bool allowFailure; bytes callData; }
    struct Answer { bool success; bytes returnData; }
    function aggregate3(Read[] calls) external returns (Answer[] answers);
    function count() external view returns (uint256);
    function increment(uint256 amount) external returns (uint256);
}

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
        let code: alloy_primitives::Bytes =
            client.rpc().request("eth_getCode", json!([contract.address, "latest"])).await.unwrap();
        assert_eq!(keccak256(code), contract.code_hash, "{}", contract.name);
    }
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
