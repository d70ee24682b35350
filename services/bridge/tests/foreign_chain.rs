//! Attestors over a foreign chain that reorganises, halts and lies, under seeds: what they sign in the end is what the chain has in the end.
//!
//! ```text
//!   each step: the chain mines, reorganises within the policy, or halts; one of three endpoints stalls, lies or shows a fork;
//!              an attestor looks, or dies and starts again from its journal
//!   the end:   all honest; every final message attested by each, in one block; nothing orphaned by any; the same words by all
//! ```
//!
//! `DOVETAIL_SEED` runs one seed again.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::PrivateKeySigner;
use chains::chain::{Chain, Finality, MailboxEvents, ProcessedMessage};
use chains::endpoint::Endpoint;
use chains::evm::EvmChain;
use chains::simulated::{Fault, Served, SimulatedChain};
use dovetail_bridge_service::attestor::{Attestor, Keys, LookError};
use host::network::{EnvironmentSource, Genesis, Network, NetworkFile, RouteEntry, ShardEntry};
use primitives::{NetworkId, ShardId, Time};
use proof::{Message, Processed, SecretKey, domain_of};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const DOMAIN: u32 = 900;
const NETWORK: u64 = 77;
const SEEDS_COUNT: u64 = 3;
const STEPS_COUNT: u64 = 40;
const DEPTH: u64 = 4;
const FINALITY: Finality = Finality::Depth { blocks: DEPTH };

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

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
        pinned: BTreeMap::new(),
        routes: vec![route],
        roles: BTreeMap::new(),
    };
    Network::new(&file, Genesis::default()).unwrap()
}

fn message(nonce: u32) -> Vec<u8> {
    let message = Message {
        nonce,
        origin: DOMAIN,
        sender: B256::repeat_byte(1),
        destination: domain_of(NetworkId(NETWORK), ShardId(0)),
        recipient: B256::repeat_byte(2),
        body: nonce.to_be_bytes().to_vec(),
        gas_limit: 0,
        deadline: Time(0),
        value: U256::ZERO,
    };
    message.packed()
}

fn ended(nonce: u32) -> ProcessedMessage {
    let id = U256::from(nonce).into();
    ProcessedMessage { origin: domain_of(NetworkId(NETWORK), ShardId(0)), id }
}

/// A chain behind three endpoints, and a fork of it that one of them may show instead.
struct Stage {
    random: Random,
    chain: SimulatedChain,
    served: Vec<Served>,
    /// Shows a chain that ended long ago and went its own way.
    liar: Served,
    nonce: u32,
}

impl Stage {
    async fn new(seed: u64) -> Self {
        let chain = SimulatedChain::new(u64::from(DOMAIN), mailbox(), FINALITY);
        chain.mine_empty(DEPTH + 1);
        let forked = chain.fork();
        forked.reorganise(2);
        forked.mine(&[message(u32::MAX)]);
        forked.mine_empty(STEPS_COUNT * 3);
        let mut served = Vec::new();
        for _ in 0..3 {
            served.push(chain.serve(Fault::None).await.unwrap());
        }
        let liar = forked.serve(Fault::None).await.unwrap();
        Self { random: Random(seed), chain, served, liar, nonce: 0 }
    }

    /// The chain as an attestor reads it; `lies` names the endpoint in whose place the liar is asked.
    fn read(&self, lies: Option<usize>) -> EvmChain {
        let url = |(number, served): (usize, &Served)| {
            if lies == Some(number) { self.liar.url.clone() } else { served.url.clone() }
        };
        let endpoint = |url: String| Endpoint::new(&url).unwrap().with_timeout(Duration::from_millis(60));
        let endpoints = self.served.iter().enumerate().map(url).map(endpoint).collect();
        EvmChain::new(u64::from(DOMAIN), mailbox(), FINALITY, endpoints, 2)
    }

    fn move_chain(&mut self) {
        match self.random.below(10) {
            0..5 => {
                let mut events = MailboxEvents::default();
                for _ in 0..self.random.below(3) {
                    self.nonce += 1;
                    events.dispatched.push(message(self.nonce));
                    events.processed.push(ended(self.nonce));
                }
                self.chain.mine_events(events);
            }
            5..7 => self.chain.mine_empty(1 + self.random.below(3)),
            7..9 => self.chain.reorganise(1 + self.random.below(DEPTH)),
            _ => {} // It halts.
        }
    }

    /// One endpoint at a time misbehaves; which, and how.
    fn move_endpoints(&mut self) -> Option<usize> {
        self.served.iter().for_each(|served| served.set(Fault::None));
        let victim = self.random.below(3) as usize;
        let faults = [
            Fault::None,
            Fault::RateLimited,
            Fault::Garbage,
            Fault::Stalled,
            Fault::Nothing,
            Fault::WrongChain,
            Fault::OtherReceipts,
            Fault::OmittedLog,
        ];
        match self.random.below(faults.len() as u64 + 2) {
            fault if fault < faults.len() as u64 => self.served[victim].set(faults[fault as usize]),
            _ => return Some(victim),
        }
        None
    }

    /// What the final blocks say in the end: number -> leaves.
    async fn truth(&self) -> BTreeMap<u64, Vec<Vec<u8>>> {
        let mut all = BTreeMap::new();
        for number in 0..=self.chain.finalized().await.unwrap().number {
            let block = self.chain.block(number).await.unwrap();
            let MailboxEvents { dispatched, processed, .. } = self.chain.events(&block).await.unwrap();
            let end = |it: ProcessedMessage| Processed { domain: DOMAIN, origin: it.origin, id: it.id }.to_bytes();
            let leaves: Vec<Vec<u8>> = dispatched.into_iter().chain(processed.into_iter().map(end)).collect();
            if !leaves.is_empty() {
                all.insert(number, leaves);
            }
        }
        all
    }
}

/// An attestor whose chain is read anew at each look, as its endpoints are then.
async fn look(chain: EvmChain, number: u8, data: &Path) -> Result<u64, LookError> {
    let checkpoint = PrivateKeySigner::from_bytes(&B256::repeat_byte(9)).unwrap();
    let keys = Keys { attestation: key(number), checkpoint };
    Attestor::open(network(), DOMAIN, chain, keys, data, 0).unwrap().unwrap().look_in().await
}

/// What its journal has: number -> leaves.
fn said(data: &Path) -> BTreeMap<u64, Vec<Vec<u8>>> {
    let journal = std::fs::read_to_string(data.join("journal")).unwrap_or_default();
    let word = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let leaves = line["inbound"]["leaves"].as_array().unwrap().iter();
        let leaves = leaves.map(|leaf| hex::decode(leaf.as_str().unwrap().trim_start_matches("0x")).unwrap()).collect();
        (line["inbound"]["number"].as_u64().unwrap(), leaves)
    };
    let words: Vec<(u64, Vec<Vec<u8>>)> = journal.lines().map(word).collect();
    let count = words.len();
    let words: BTreeMap<_, _> = words.into_iter().collect();
    assert_eq!(words.len(), count, "one word for one number");
    words
}

async fn run(seed: u64) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut stage = Stage::new(seed).await;
    for _ in 0..STEPS_COUNT {
        stage.move_chain();
        let lies = stage.move_endpoints();
        let number = stage.random.below(2) as usize;
        let looked = look(stage.read(lies), number as u8 + 1, dirs[number].path()).await;
        assert!(matches!(looked, Ok(_) | Err(LookError::Chain(_))), "seed {seed}: {looked:?}");
        assert!(
            !dirs[number].path().join("evidence").exists(),
            "seed {seed}: one liar of three stops nothing: {looked:?}"
        );
    }
    stage.served.iter().for_each(|served| served.set(Fault::None));
    stage.chain.mine_empty(DEPTH);
    let truth = stage.truth().await;
    for (number, dir) in (1..).zip(&dirs) {
        look(stage.read(None), number, dir.path()).await.unwrap();
        assert_eq!(said(dir.path()), truth, "seed {seed}, attestor {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_attestors_sign_is_what_the_chain_has_in_the_end() {
    let one = std::env::var("DOVETAIL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = one.map_or_else(|| (0..SEEDS_COUNT).collect(), |seed| vec![seed]);
    for seed in seeds {
        run(seed).await;
    }
}
