//! Files that a person hands over: a network's description and a block of mainnet.

use crate::choice::Choice;
use crate::sample;
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use evm::mainnet::MainnetBlock;
use host::network::{EnvironmentSource, Genesis, Network, NetworkFile, ShardEntry};
use primitives::{Epoch, ShardId, Time};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Text that claims to describe a network: TOML, or JSON of a genesis.
pub fn network_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(genesis) = serde_json::from_str::<Genesis>(text) {
        let again = serde_json::to_string(&genesis).expect("it has a text");
        assert_eq!(serde_json::from_str::<Genesis>(&again).ok(), Some(genesis), "a genesis survives its text");
    }
    let Ok(file) = toml::from_str::<NetworkFile>(text) else { return };
    let again = toml::to_string(&file).expect("it has a text");
    assert_eq!(toml::from_str::<NetworkFile>(&again).as_ref(), Ok(&file), "a file survives its text");
    let Ok(network) = Network::new(&file, Genesis::default()) else { return };
    for shard in network.placement.shards() {
        assert_ne!(network.epoch(shard).expect("every shard has validators"), Epoch(0));
        assert!(network.endpoints.contains_key(&shard));
    }
    assert!(network.validators(ShardId(u32::MAX)).is_err());
    let _ = network.params.block_of(network.params.slot_at(Time(u64::MAX)));
}

pub(crate) fn network_file_seeds() -> Vec<Vec<u8>> {
    let entry = |shard: u32, validators: u8| ShardEntry {
        shard,
        endpoint: format!("http://127.0.0.1:{}", 7000 + shard),
        epoch: 1,
        validators: sample::set(ShardId(shard), validators).keys().iter().map(ToString::to_string).collect(),
    };
    let file = |count: u32, environments| NetworkFile {
        network: 1337,
        genesis_ms: 0,
        slot_ms: 500,
        base_fee_wei: 7,
        gas_limit: 30_000_000,
        beneficiary: sample::params().beneficiary,
        fork: "osaka".to_owned(),
        environments,
        allow_unprotected_transactions: count > 1,
        placement_version: 1,
        genesis: None,
        genesis_digest: None,
        shards: (0..count).map(|shard| entry(shard, 1 + shard as u8)).collect(),
        pinned: [(sample::user(1).address(), count - 1)].into(),
        routes: Vec::new(),
        roles: std::collections::BTreeMap::new(),
    };
    let files = [file(1, EnvironmentSource::Replay), file(3, EnvironmentSource::Slots)];
    let files = files.iter().map(|file| toml::to_string(file).expect("it has a text").into_bytes());
    let genesis = br#"{"accounts":{"0x00000000000000000000000000000000000000aa":{"balance":"0x5","nonce":1,"storage":{"0x1":"0x2"}}}}"#;
    files.chain([genesis.to_vec()]).collect()
}

/// Text that claims to be a block of mainnet: as it comes, and with its hashes made to fit what was changed.
pub fn mainnet_block(data: &[u8]) {
    check_block(data);
    if let Ok(mut file) = serde_json::from_slice::<Value>(data) {
        repair(&mut file);
        check_block(file.to_string().as_bytes());
    }
    let mut choice = Choice::new(data);
    let edited = choice.edited(&BLOCKS[data.len() % BLOCKS.len()]);
    if let Ok(mut file) = serde_json::from_slice::<Value>(&edited) {
        repair(&mut file);
        check_block(file.to_string().as_bytes());
    }
}

/// Made once: it takes a signature.
static BLOCKS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(mainnet_block_seeds);

/// What a command does with a block before it runs it.
fn check_block(json: &[u8]) {
    let Ok(block) = MainnetBlock::parse(json) else { return };
    let payloads = block.payloads();
    assert!(payloads.len() >= block.transactions_count(), "no transaction is lost");
    let _ = (block.params(), block.environment(), block.pre_state().clone().settled());
    let verifier = evm::PayloadVerifier::new(block.params());
    for payload in payloads {
        let _ = primitives::Verified::by(&verifier, payload);
    }
}

/// Makes hash and transactions' root fit, so that a change of anything else is looked at.
fn repair(file: &mut Value) {
    let bytes = |value: &Value| serde_json::from_value::<Bytes>(value.clone()).ok();
    let Some(mut header) = bytes(&file["header"]) else { return };
    let transactions: Option<Vec<Bytes>> =
        file["transactions"].as_array().map(|all| all.iter().filter_map(bytes).collect());
    if let (Ok(mut decoded), Some(transactions)) = (alloy_rlp::decode_exact::<Header>(&header), transactions) {
        decoded.transactions_root = alloy_consensus::proofs::ordered_trie_root_encoded(&transactions);
        header = alloy_rlp::encode(&decoded).into();
    }
    file["hash"] = json!(keccak256(&header));
    file["header"] = json!(header);
}

pub(crate) fn mainnet_block_seeds() -> Vec<Vec<u8>> {
    let block = |fork: &str, header: Header, ommers: &[Header]| {
        let ommers: Vec<Bytes> = ommers.iter().map(|ommer| alloy_rlp::encode(ommer).into()).collect();
        let transactions: Vec<Bytes> = sample::transactions().into_iter().take(1).map(Bytes::from).collect();
        let mut file = json!({
            "format": "mainnet-block/v1", "chainId": 1, "fork": fork, "hash": B256::ZERO,
            "header": Bytes::from(alloy_rlp::encode(&header)), "transactions": transactions, "ommers": ommers,
            "withdrawals": [{ "address": sample::params().beneficiary, "amount": "0x5" }],
            "blockHashes": { "6": B256::repeat_byte(6) },
            "preState": { "0x00000000000000000000000000000000000000aa":
                { "balance": "0x5", "nonce": 1, "codeHash": keccak256([0x5f]), "storage": { "0x1": "0x2" } } },
            "codes": { keccak256([0x5f]).to_string(): "0x5f" },
            "verified": { "stateRoot": true, "postDigest": B256::repeat_byte(1) },
        });
        repair(&mut file);
        file.to_string().into_bytes()
    };
    let old = Header { number: 7, gas_limit: 5_000, ..Header::default() };
    let new = Header {
        base_fee_per_gas: Some(7),
        withdrawals_root: Some(B256::repeat_byte(1)),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::repeat_byte(2)),
        requests_hash: Some(B256::repeat_byte(3)),
        ..old.clone()
    };
    let ommer = Header { number: 6, ..Header::default() };
    vec![block("frontier", old, &[ommer]), block("osaka", new, &[])]
}
