//! I9 and I16 on real blocks: executed over shards, replayed under the witness, split, applied and put together again, a
//! block of any fork gives the gas, logs, receipts and state that Ethereum mainnet has.

#[path = "fixture/blocks.rs"]
mod blocks;
#[path = "fixture/shards.rs"]
mod shards;

use blocks::{block, files};
use dovetail_evm as evm;
use evm::mainnet::{Alone, MainnetBlock};
use evm::{Address, Executed, Outcome, Payload, PayloadVerifier, Placement, Replay, Replayer, State, U256, execute};
use primitives::{ShardId, Verified};
use shards::Shards;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
struct Counts {
    transactions: AtomicUsize,
    crossing: AtomicUsize,
    participants: AtomicUsize,
    witness_bytes: AtomicUsize,
    witness_bytes_most: AtomicUsize,
}

impl Counts {
    fn add(&self, executed: &Executed) {
        let participants = executed.participants.len();
        let bytes = executed.witness.bytes_count();
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.crossing.fetch_add(usize::from(participants > 1), Ordering::Relaxed);
        self.participants.fetch_add(participants, Ordering::Relaxed);
        self.witness_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.witness_bytes_most.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// Executes one payload on the shards, has it replayed under its witness, and commits it.
fn step(shards: &mut Shards, block: &MainnetBlock, replayer: &Replayer, payload: Payload) -> Executed {
    let params = block.params();
    let recovered = Verified::by(&PayloadVerifier::new(params.clone()), payload).expect("a mainnet payload");
    let executed = execute(&params, &shards.placement, &recovered, shards).expect("mainnet included it");
    let claim = Replay { payload: recovered.into_inner(), witness: executed.witness.clone() };
    let again = Verified::by(replayer, claim).expect("the witness is complete and exact");
    assert_eq!(again.effects.digest(), executed.effects.digest());
    assert_eq!(*again, executed);
    shards.commit(&executed);
    executed
}

fn replay(block: &MainnetBlock, placement: Placement, counts: &Counts) -> Result<(), String> {
    let replayer = Replayer::new(block.params(), placement.clone(), Arc::default());
    let mut shards = Shards::new(placement, block.pre_state());
    let (mut outcomes, mut wiped): (Vec<Outcome>, BTreeSet<Address>) = Default::default();
    for payload in block.payloads() {
        let executed = step(&mut shards, block, &replayer, payload);
        if executed.effects.outcomes[0].transaction.is_some() {
            counts.add(&executed);
        }
        wiped.extend(executed.effects.changes.wiped);
        outcomes.extend(executed.effects.outcomes);
    }
    let after = State::union(&shards.states).map_err(|error| error.to_string())?;
    assert!(after.fees.is_empty(), "a block ends with its fees settled");
    block.check(&outcomes, &wiped, &after.settled()).map(|_| ()).map_err(|error| error.to_string())
}

fn hashed(shards_count: u32) -> Placement {
    Placement::new(1, shards_count, BTreeMap::new()).expect("a placement")
}

/// A placement drawn from the block's own hash, so that every block has another and every run the same.
fn drawn(block: &MainnetBlock, shards_count: u32) -> Placement {
    let draw = |address: &Address| {
        let bytes = [address.as_slice(), block.hash().as_slice()].concat();
        ShardId(u32::from(alloy_primitives::keccak256(bytes)[0]) % shards_count)
    };
    let pinned = block.pre_state().accounts.keys().map(|address| (*address, draw(address))).collect();
    Placement::new(1, shards_count, pinned).expect("a placement")
}

/// Runs `check` on every block, on two threads, and gathers what failed.
fn every_block(check: impl Fn(&MainnetBlock) -> Result<(), String> + Sync) {
    let Some(files) = files() else {
        println!("skipped: no mainnet-blocks folder; set DOVETAIL_DATA to the folder that has it");
        return;
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let block = block(path);
            if let Err(error) = check(&block) {
                failures.push(format!("block {}: {error}", block.number()));
            }
        }
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().flat_map(|worker| worker.join().expect("a block panicked")).collect()
    });
    assert!(failures.is_empty(), "{} of {} blocks differ:\n{}", failures.len(), files.len(), failures.join("\n"));
    println!("{} blocks reproduced", files.len());
}

#[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
fn report(shards_count: u32, counts: &Counts) {
    let read = |count: &AtomicUsize| count.load(Ordering::Relaxed) as f64;
    let transactions = read(&counts.transactions);
    println!(
        "{shards_count} shards: {transactions} transactions, {:.1} % cross shards, {:.2} participants each, \
         witness {:.0} bytes each and {:.0} at most",
        100.0 * read(&counts.crossing) / transactions,
        read(&counts.participants) / transactions,
        read(&counts.witness_bytes) / transactions,
        read(&counts.witness_bytes_most),
    );
}

#[test]
fn every_mainnet_block_is_reproduced_alone() {
    every_block(|block| {
        let alone = block.run_alone().map_err(|error| error.to_string())?;
        block.check(&alone.outcomes, &alone.wiped, &alone.state).map(|_| ()).map_err(|error| error.to_string())
    });
}

#[test]
fn every_block_that_carries_trie_nodes_comes_to_the_state_root_of_its_header_and_a_changed_state_does_not() {
    let rooted = AtomicUsize::new(0);
    every_block(|block| {
        let Alone { state, wiped, .. } = block.run_alone().map_err(|error| error.to_string())?;
        let root = |state: &State| block.state_root_of(&wiped, state).expect("trie nodes");
        if !block.has_state_witness() {
            return Ok(());
        }
        rooted.fetch_add(1, Ordering::Relaxed);
        let same = root(&state) == Ok(block.header().state_root);
        let mut richer = state.clone();
        richer.accounts.values_mut().next_back().expect("an account").balance += U256::ONE;
        let mut wider = state.clone();
        let slot = wider.slots.iter().next().map(|(key, value)| (*key, *value));
        if let Some(((address, slot), value)) = slot {
            wider.set_slot(address, slot, value + U256::ONE);
        }
        let others = [(richer, true), (wider, slot.is_some())];
        let differ = others.iter().all(|(other, is_other)| !is_other || root(other) != Ok(block.header().state_root));
        if same && differ { Ok(()) } else { Err(format!("same {same}, others differ {differ}")) }
    });
    if files().is_some() {
        assert_eq!(rooted.into_inner(), 17);
    }
}

#[test]
fn every_mainnet_block_is_reproduced_on_one_shard() {
    let counts = Counts::default();
    every_block(|block| replay(block, hashed(1), &counts));
    report(1, &counts);
}

#[test]
fn a_block_file_that_is_not_the_block_of_its_hash_is_refused() {
    let Some(files) = files() else {
        println!("skipped: no mainnet-blocks folder; set DOVETAIL_DATA to the folder that has it");
        return;
    };
    let json = zstd::decode_all(std::fs::File::open(&files[0]).expect("readable")).expect("zstd");
    let text = String::from_utf8(json).expect("UTF-8");
    for (from, to) in [("mainnet-block/v1", "mainnet-block/v2"), ("\"hash\":\"0x", "\"hash\":\"0xff"), ("{", "[")] {
        assert!(MainnetBlock::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from}");
    }
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value["header"] = value["header"].as_str().expect("hex").replacen("f9", "f8", 1).into();
    assert!(MainnetBlock::parse(value.to_string().as_bytes()).is_err());
    // An ommer that the header does not have: it would be paid, and far too much at a number like this.
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let ommer = alloy_consensus::Header { number: u64::MAX, ..alloy_consensus::Header::default() };
    value["ommers"] = serde_json::json!([alloy_primitives::hex::encode_prefixed(alloy_rlp::encode(&ommer))]);
    let error = MainnetBlock::parse(value.to_string().as_bytes()).expect_err("an ommer too many");
    assert!(error.to_string().contains("ommers"), "{error}");
}

#[test]
fn every_mainnet_block_is_reproduced_on_four_shards_placed_by_hash() {
    let counts = Counts::default();
    every_block(|block| replay(block, hashed(4), &counts));
    report(4, &counts);
}

#[test]
fn every_mainnet_block_is_reproduced_on_seven_shards_placed_at_random() {
    let counts = Counts::default();
    every_block(|block| replay(block, drawn(block, 7), &counts));
    report(7, &counts);
}
