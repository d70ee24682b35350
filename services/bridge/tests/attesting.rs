//! An attestor over simulated chains: what it signs, what stops it, and what it leaves behind for others to check.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::PrivateKeySigner;
use chains::chain::{Chain, ChainError, Finality};
use chains::endpoint::Endpoint;
use chains::evidence::Disagreement;
use chains::evm::EvmChain;
use chains::simulated::{Fault, SimulatedChain};
use dovetail_bridge_service::attestor::{Attestor, Keys, LookError};
use host::network::{EnvironmentSource, Genesis, Network, NetworkFile, RouteEntry, ShardEntry};
use primitives::{Digest, NetworkId, ShardId, Time};
use proof::{
    Attestation, FOREIGN_MESSAGES_COUNT_MAX, FOREIGN_RECEIPT_BYTES_MAX, ForeignBlock, ForeignReceipt,
    MESSAGE_BODY_BYTES_MAX, Message, SecretKey, domain_of,
};
use std::path::Path;

const DOMAIN: u32 = 900;
const NETWORK: u64 = 77;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

fn mailbox() -> Address {
    Address::repeat_byte(0x11)
}

fn network() -> Network {
    let route = RouteEntry {
        domain: DOMAIN,
        chain_id: u64::from(DOMAIN),
        mailbox: mailbox(),
        gas_limit: 100_000,
        window_ms: 3_600_000,
        attestors: vec![key(1).public().to_string(), key(2).public().to_string()],
        threshold: 2,
    };
    let shard = ShardEntry {
        shard: 0,
        endpoint: "http://127.0.0.1:1".to_owned(),
        epoch: 1,
        validators: vec![key(7).public().to_string()],
    };
    let file = NetworkFile {
        network: NETWORK,
        genesis_ms: 0,
        slot_ms: 500,
        base_fee_wei: 7,
        gas_limit: 30_000_000,
        beneficiary: Address::ZERO,
        fork: "osaka".to_owned(),
        environments: EnvironmentSource::Slots,
        allow_unprotected_transactions: false,
        placement_version: 1,
        genesis: None,
        genesis_digest: None,
        shards: vec![shard],
        pinned: std::collections::BTreeMap::new(),
        routes: vec![route],
        roles: std::collections::BTreeMap::new(),
    };
    Network::new(&file, Genesis::default()).unwrap()
}

fn attestor<C: Chain>(chain: C, data: &Path) -> Attestor<C> {
    let checkpoint = PrivateKeySigner::from_bytes(&B256::repeat_byte(9)).unwrap();
    let keys = Keys { attestation: key(1), checkpoint };
    Attestor::open(network(), DOMAIN, chain, keys, data, 0).unwrap().unwrap()
}

fn message(nonce: u32) -> Vec<u8> {
    let message = Message {
        nonce,
        origin: DOMAIN,
        sender: B256::repeat_byte(1),
        destination: domain_of(NetworkId(NETWORK), ShardId(0)),
        recipient: B256::repeat_byte(2),
        body: b"hello".to_vec(),
        gas_limit: 0,
        deadline: Time(0),
        value: U256::ZERO,
    };
    message.packed()
}

fn simulated(finality: Finality) -> SimulatedChain {
    SimulatedChain::new(u64::from(DOMAIN), mailbox(), finality)
}

fn journal(data: &Path) -> String {
    std::fs::read_to_string(data.join("journal")).unwrap()
}

#[tokio::test]
async fn one_word_for_a_block_however_often_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let chain = simulated(Finality::Instant);
    chain.mine(&[message(0), message(1)]);
    chain.mine_empty(3);
    assert_eq!(attestor(chain.clone(), dir.path()).look_in().await.unwrap(), 5);
    let said = journal(dir.path());
    assert_eq!(said.lines().count(), 1);
    chain.mine_empty(1);
    attestor(chain.clone(), dir.path()).look_in().await.unwrap();
    assert_eq!(journal(dir.path()), said);
    chain.mine(&[message(2)]);
    attestor(chain, dir.path()).look_in().await.unwrap();
    assert_eq!(journal(dir.path()).lines().count(), 2);
}

#[tokio::test]
async fn what_is_for_another_network_or_claims_another_origin_is_not_attested() {
    let dir = tempfile::tempdir().unwrap();
    let chain = simulated(Finality::Instant);
    let mut elsewhere = message(0);
    elsewhere[41] ^= 0x10;
    let mut forged = message(1);
    forged[8] ^= 1;
    chain.mine(&[elsewhere, forged, vec![3; 90], vec![3; 5]]);
    attestor(chain, dir.path()).look_in().await.unwrap();
    assert_eq!(journal(dir.path()), "");
}

#[tokio::test]
async fn a_message_too_long_for_a_shard_is_not_attested_and_the_longest_fits_its_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let chain = simulated(Finality::Instant);
    let long = |bytes: usize| [message(0), vec![7; bytes - b"hello".len()]].concat();
    chain.mine(&[long(MESSAGE_BODY_BYTES_MAX + 1), long(1 << 20)]);
    let mut attestor = attestor(chain.clone(), dir.path());
    attestor.look_in().await.unwrap();
    assert_eq!(journal(dir.path()), "");
    let longest = long(MESSAGE_BODY_BYTES_MAX);
    chain.mine(std::slice::from_ref(&longest));
    attestor.look_in().await.unwrap();
    assert_eq!(journal(dir.path()).lines().count(), 1);
    // With the deepest path that a block's count allows, and as many signatures as a route has attestors.
    let head = (1, B256::repeat_byte(1), Time(1));
    let (block, _) = ForeignBlock::new(Digest::new([1; 32]), DOMAIN, head, std::slice::from_ref(&longest));
    let signature = Attestation::sign(block.clone(), &key(1)).signature;
    let path = vec![Digest::new([2; 32]); FOREIGN_MESSAGES_COUNT_MAX.ilog2() as usize];
    let receipt = ForeignReceipt { leaf: longest, index: 0, path, block, signatures: vec![(0, signature); 64] };
    assert!(receipt.to_bytes().len() <= FOREIGN_RECEIPT_BYTES_MAX, "{}", receipt.to_bytes().len());
}

#[tokio::test]
async fn an_orphaned_message_within_the_policy_is_never_attested() {
    let dir = tempfile::tempdir().unwrap();
    let chain = simulated(Finality::Depth { blocks: 3 });
    let mut attestor = attestor(chain.clone(), dir.path());
    chain.mine(&[message(0)]);
    chain.mine_empty(2);
    attestor.look_in().await.unwrap();
    chain.reorganise(3);
    chain.mine_empty(5);
    attestor.look_in().await.unwrap();
    assert_eq!(journal(dir.path()), "");
}

#[tokio::test]
async fn a_reorganisation_past_the_policy_stops_the_route_and_leaves_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let chain = simulated(Finality::Depth { blocks: 2 });
    let mut running = attestor(chain.clone(), dir.path());
    chain.mine(&[message(0)]);
    chain.mine_empty(2);
    running.look_in().await.unwrap();
    chain.reorganise(3);
    chain.mine(&[message(1)]);
    chain.mine_empty(2);
    let stopped = running.look_in().await;
    assert!(matches!(stopped, Err(LookError::Reorganised { number: 1, .. })), "{stopped:?}");
    assert!(matches!(running.look_in().await, Err(LookError::Stopped(_))), "and it stays stopped");
    assert!(dir.path().join("evidence/reorg-1.json").is_file());
    // Nor does another process with the same journal go on.
    let mut again = attestor(chain, dir.path());
    assert!(matches!(again.look_in().await, Err(LookError::Stopped(_))));
    std::fs::remove_dir_all(dir.path().join("evidence")).unwrap();
    assert!(
        matches!(again.look_in().await, Err(LookError::Reorganised { number: 1, .. })),
        "its own word is not undone"
    );
    assert_eq!(journal(dir.path()).lines().count(), 1, "one word for one number");
}

#[tokio::test]
async fn endpoints_that_disagree_stop_the_route_and_the_evidence_verifies_offline() {
    let dir = tempfile::tempdir().unwrap();
    let chain = simulated(Finality::Instant);
    let other = chain.fork();
    chain.mine(&[message(0)]);
    other.reorganise(0);
    other.mine(&[message(1)]);
    let served = [chain.serve(Fault::None).await.unwrap(), other.serve(Fault::None).await.unwrap()];
    let endpoints = served.iter().map(|served| Endpoint::new(&served.url).unwrap()).collect();
    let seen = EvmChain::new(u64::from(DOMAIN), mailbox(), Finality::Instant, endpoints, 2);
    let mut attestor = attestor(seen, dir.path());
    let stopped = attestor.look_in().await;
    assert!(matches!(stopped, Err(LookError::Chain(ChainError::Disagreement(_)))), "{stopped:?}");
    let evidence = std::fs::read(dir.path().join("evidence/disagreement-1.json")).unwrap();
    let evidence: Disagreement = serde_json::from_slice(&evidence).unwrap();
    assert_eq!(evidence.verify(), Ok(()));
    assert!(matches!(attestor.look_in().await, Err(LookError::Stopped(_))));
    assert_eq!(journal(dir.path()), "", "nothing was attested");
}

#[tokio::test]
async fn endpoints_that_only_fail_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let chain = simulated(Finality::Instant);
    chain.mine(&[message(0)]);
    let served = [chain.serve(Fault::RateLimited).await.unwrap(), chain.serve(Fault::None).await.unwrap()];
    let endpoints = served.iter().map(|served| Endpoint::new(&served.url).unwrap()).collect();
    let seen = EvmChain::new(u64::from(DOMAIN), mailbox(), Finality::Instant, endpoints, 2);
    let mut attestor = attestor(seen, dir.path());
    assert!(matches!(attestor.look_in().await, Err(LookError::Chain(ChainError::TooFew { .. }))));
    served[0].set(Fault::None);
    attestor.look_in().await.unwrap();
    assert_eq!(journal(dir.path()).lines().count(), 1);
}
