//! I9 and I16 on the official Ethereum state tests: every transaction over four shards, replayed under its witness, with
//! the state root and logs that every client must come to.
//!
//! `DOVETAIL_STATE_TESTS=all` runs every file; without it every eighth runs, which takes seconds.

#[path = "fixture/shards.rs"]
mod shards;

use alloy_consensus::proofs::{state_root_unhashed, storage_root_unhashed};
use alloy_primitives::{Bytes, U64, keccak256};
use alloy_rlp::Encodable;
use dovetail_evm as evm;
use evm::{
    AccountState, Address, B256, BlobEnvironment, BlockEnvironment, Environment, Environments, ExecuteError, Executed,
    NetworkParams, Payload, PayloadVerifier, Placement, Replay, Replayer, Spec, State, U256, execute,
};
use primitives::{Millis, NetworkId, Verified};
use revm::primitives::KECCAK_EMPTY;
use serde::Deserialize;
use shards::Shards;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Storage under an account without code or nonce cannot come to be on any network since Spurious Dragon, and revm, which
/// has no way to see it, creates over it (EIP-7610). revm's own runner skips the same tests.
const STORAGE_WITHOUT_CODE: [&str; 6] = [
    "eip7610_create_collision",
    "InitCollisionParis",
    "RevertInCreateInInit_Paris",
    "RevertInCreateInInitCreate2Paris",
    "create2collisionStorageParis",
    "dynamicAccountOverwriteEmpty_Paris",
];

#[derive(Deserialize)]
struct Test {
    env: Env,
    pre: BTreeMap<Address, Account>,
    post: BTreeMap<String, Vec<Post>>,
    config: Option<Config>,
}

#[allow(clippy::struct_field_names, reason = "the file's names")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Env {
    current_coinbase: Address,
    current_gas_limit: U256,
    current_number: U256,
    current_timestamp: U256,
    current_difficulty: Option<U256>,
    current_random: Option<U256>,
    current_base_fee: Option<U64>,
    current_excess_blob_gas: Option<U64>,
}

#[derive(Deserialize)]
struct Account {
    balance: U256,
    nonce: U64,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Post {
    hash: B256,
    logs: B256,
    txbytes: Option<Bytes>,
    expect_exception: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    blob_schedule: Option<BTreeMap<String, BlobSchedule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobSchedule {
    base_fee_update_fraction: U64,
}

fn spec(fork: &str) -> Option<Spec> {
    let name = match fork {
        "EIP150" => "tangerine",
        "EIP158" => "spurious_dragon",
        "ConstantinopleFix" => "petersburg",
        "Paris" => "merge",
        other => other,
    };
    name.parse().ok()
}

fn block(test: &Test, fork: &str, spec: Spec) -> BlockEnvironment {
    let env = &test.env;
    let number: u64 = env.current_number.saturating_to();
    let merged = spec >= "merge".parse().expect("a fork");
    let schedule = test.config.as_ref().and_then(|config| config.blob_schedule.as_ref()?.get(fork));
    let default = if spec >= "prague".parse().expect("a fork") { 5_007_716 } else { 3_338_477 };
    let update_fraction = schedule.map_or(default, |schedule| schedule.base_fee_update_fraction.to());
    let excess_gas = env.current_excess_blob_gas.unwrap_or_default().to();
    BlockEnvironment {
        spec,
        number,
        timestamp: env.current_timestamp.saturating_to(),
        beneficiary: env.current_coinbase,
        gas_limit: env.current_gas_limit.saturating_to(),
        base_fee: env.current_base_fee.unwrap_or_default().to(),
        difficulty: env.current_difficulty.unwrap_or_default(),
        randomness: merged.then(|| env.current_random.unwrap_or_default().into()),
        blob: (spec >= "cancun".parse().expect("a fork")).then_some(BlobEnvironment { excess_gas, update_fraction }),
        hashes: (number.saturating_sub(256)..number).map(|n| (n, keccak256(n.to_string()))).collect(),
    }
}

fn pre_state(accounts: &BTreeMap<Address, Account>) -> State {
    let mut state = State::default();
    for (address, account) in accounts {
        let code_hash = keccak256(&account.code);
        let nonce = account.nonce.to();
        state.accounts.insert(*address, AccountState { nonce, balance: account.balance, code_hash });
        if code_hash != KECCAK_EMPTY {
            state.add_code(code_hash, &account.code.clone().into()).expect("its own hash");
        }
        for (slot, value) in &account.storage {
            state.set_slot(*address, *slot, *value);
        }
    }
    state
}

fn root(state: &State) -> B256 {
    let account = |(address, account): (&Address, &AccountState)| {
        let slots = state.slots.range((*address, U256::ZERO)..=(*address, U256::MAX));
        let slots = slots.map(|((_, slot), value)| (B256::from(*slot), *value));
        let trie = alloy_consensus::TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: storage_root_unhashed(slots),
            code_hash: account.code_hash,
        };
        (*address, trie)
    };
    state_root_unhashed(state.accounts.iter().map(account))
}

fn logs_hash(executed: &Executed) -> B256 {
    let logs = executed.effects.outcomes.iter().flat_map(|outcome| outcome.logs.clone());
    let logs: Vec<alloy_primitives::Log> = logs.map(Into::into).collect();
    let mut bytes = Vec::new();
    logs.encode(&mut bytes);
    keccak256(bytes)
}

/// Executes on shards, has it replayed under the witness, commits, and settles the fees.
fn run(shards: &mut Shards, params: &NetworkParams, payload: Payload) -> Result<Option<Executed>, String> {
    let Ok(recovered) = Verified::by(&PayloadVerifier::new(params.clone()), payload) else {
        return Ok(None);
    };
    let executed = match execute(params, &shards.placement, &recovered, shards) {
        Ok(executed) => executed,
        Err(ExecuteError::Invalid { .. }) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let replayer = Replayer::new(params.clone(), shards.placement.clone(), Arc::default());
    let replay = Replay { payload: recovered.into_inner(), witness: executed.witness.clone() };
    let again = Verified::by(&replayer, replay).map_err(|error| error.to_string())?;
    if *again != executed {
        return Err("the replay differs".to_owned());
    }
    shards.commit(&executed);
    Ok(Some(executed))
}

fn subtest(test: &Test, fork: &str, spec: Spec, post: &Post) -> Result<(), String> {
    let Some(bytes) = &post.txbytes else { return Ok(()) };
    let block = block(test, fork, spec);
    let params = NetworkParams {
        network: NetworkId(1),
        slot_length: Millis(1000),
        base_fee: 0,
        gas_limit: block.gas_limit,
        beneficiary: block.beneficiary,
        spec,
        environments: Environments::Replay,
    };
    let placement = Placement::new(1, 4, BTreeMap::new()).expect("four shards");
    let mut shards = Shards::new(placement, &pre_state(&test.pre));
    let payload = Payload::signed(Environment::Block(block), bytes.clone());
    let executed = run(&mut shards, &params, payload)?;
    match (&executed, &post.expect_exception) {
        (None, None) => return Err("refused".to_owned()),
        (Some(_), Some(expected)) => return Err(format!("accepted, but {expected}")),
        _ => {}
    }
    let logs = executed.as_ref().map(logs_hash);
    if logs.is_some_and(|logs| logs != post.logs) {
        return Err("other logs".to_owned());
    }
    let after = State::union(&shards.states).map_err(|error| error.to_string())?.settled();
    let actual = root(&after);
    if actual == post.hash { Ok(()) } else { Err(format!("state root {actual}, expected {}", post.hash)) }
}

/// The JSON files of a tar, in order.
fn json_files(tar: &[u8]) -> Vec<&[u8]> {
    const BLOCK: usize = 512;
    let (mut files, mut at) = (Vec::new(), 0);
    while let Some(header) = tar.get(at..at + BLOCK) {
        let octal = String::from_utf8_lossy(&header[124..135]).trim_matches(['\0', ' ']).to_owned();
        let size = usize::from_str_radix(&octal, 8).unwrap_or(0);
        let content = &tar[at + BLOCK..at + BLOCK + size];
        if matches!(header[156], b'0' | 0) && content.starts_with(b"{") {
            files.push(content);
        }
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    files
}

fn archive(name: &str) -> Option<Vec<u8>> {
    let data = std::env::var_os("DOVETAIL_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")));
    let file = std::fs::File::open(data.join("ethereum-tests").join(name)).ok()?;
    let mut tar = Vec::new();
    if name.rsplit('.').next() == Some("zst") {
        zstd::Decoder::new(file).expect("zstd").read_to_end(&mut tar).expect("zstd");
    } else {
        flate2::read::GzDecoder::new(file).read_to_end(&mut tar).expect("gzip");
    }
    Some(tar)
}

#[derive(Default)]
struct Tally {
    passed: AtomicUsize,
    skipped: AtomicUsize,
}

fn file(json: &[u8], tally: &Tally) -> Vec<String> {
    let mut failures = Vec::new();
    let tests: BTreeMap<String, serde_json::Value> = serde_json::from_slice(json).expect("JSON");
    for (name, value) in tests {
        let Ok(test) = serde_json::from_value::<Test>(value) else {
            tally.skipped.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        for (fork, post) in &test.post {
            let Some(spec) = spec(fork) else { continue };
            for (index, post) in post.iter().enumerate() {
                if STORAGE_WITHOUT_CODE.iter().any(|skip| name.contains(skip)) {
                    tally.skipped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                match subtest(&test, fork, spec, post) {
                    Ok(()) => _ = tally.passed.fetch_add(1, Ordering::Relaxed),
                    Err(error) => failures.push(format!("{name} {fork} {index}: {error}")),
                }
            }
        }
    }
    failures
}

fn every_file(name: &str) {
    let Some(tar) = archive(name) else {
        println!("skipped: no ethereum-tests/{name}; set DOVETAIL_DATA to the folder that has ethereum-tests");
        return;
    };
    let step = if std::env::var("DOVETAIL_STATE_TESTS").is_ok_and(|which| which == "all") { 1 } else { 8 };
    let files: Vec<&[u8]> = json_files(&tar).into_iter().step_by(step).collect();
    let (next, tally) = (AtomicUsize::new(0), Tally::default());
    let work = || {
        let mut failures = Vec::new();
        while let Some(json) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(file(json, &tally));
        }
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let spawn = || std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, work).expect("a thread");
        let workers = [spawn(), spawn()];
        workers.into_iter().flat_map(|worker| worker.join().expect("a test panicked")).collect()
    });
    let (passed, skipped) = (tally.passed.into_inner(), tally.skipped.into_inner());
    println!("{name}: {passed} passed, {skipped} skipped, {} failed", failures.len());
    assert!(passed > 0, "{name}: nothing ran");
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_general_state_tests_hold_over_four_shards() {
    every_file("general-state-tests.tar.gz");
}

#[test]
fn the_execution_spec_state_tests_hold_over_four_shards() {
    every_file("eest-v5.4.0-state-tests.tar.zst");
}
