//! The way out alone, on anvil that mines when it is told to: a delivery whose process dies between broadcast and record, one that is
//! stuck, one that is handed in again.
//!
//! Without anvil these tests say so in a line and pass: `npm ci` in tests/e2e brings one.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolValue;
use chains::endpoint::Endpoint;
use chains::hyperlane::{Checkpoint, IncrementalTree, IsmKind};
use chains::submitter::{Landed, Landing, Offered, Parcel, SubmitError, Submitted, Submitter, SubmitterSettings};
use cluster::anvil::{self, Anvil, CARRIER_KEY, CHAIN_ID};
use fixtures::contracts::{Artifact, Pong};
use fixtures::hyperlane;
use primitives::{NetworkId, ShardId, Time};
use proof::{Message, domain_of};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const ORIGIN: ShardId = ShardId(0);

struct There {
    anvil: Anvil,
    mailbox: Address,
    pong: Address,
    dir: TempDir,
    tree: IncrementalTree,
}

fn signers() -> [PrivateKeySigner; 3] {
    [1, 2, 3].map(|seed| PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap())
}

impl There {
    async fn start() -> Option<Self> {
        Self::start_with(hyperlane::ism_factory().unwrap(), 3, 2).await
    }

    /// One whose ISM, of this factory, needs `threshold` of so many validators.
    async fn start_with(ism_factory: Bytes, validators_count: usize, threshold: u8) -> Option<Self> {
        let Some(binary) = anvil::program() else {
            println!("there is no anvil here: nothing was tested");
            return None;
        };
        let anvil = Anvil::start(&binary, &[]).await.unwrap();
        let validators = signers().map(|signer| signer.address());
        let validators = &validators[..validators_count];
        let mailbox = anvil.deploy_hyperlane_with(ism_factory, validators, threshold).await.unwrap().mailbox;
        let pong = anvil.deploy(Artifact::PONG.init_code(&mailbox.abi_encode()).unwrap()).await.unwrap();
        Some(Self { anvil, mailbox, pong, dir: tempfile::tempdir().unwrap(), tree: IncrementalTree::default() })
    }

    fn submitter(&self, fee_max: u128, patience: Duration) -> Submitter {
        let settings =
            SubmitterSettings { chain_id: CHAIN_ID, mailbox: self.mailbox, fee_max, patience, journal: self.journal() };
        Submitter::open(settings, Endpoint::new(self.anvil.url()).unwrap(), CARRIER_KEY.parse().unwrap()).unwrap()
    }

    fn patient(&self) -> Submitter {
        self.submitter(u128::MAX, Duration::from_mins(1))
    }

    fn journal(&self) -> std::path::PathBuf {
        self.dir.path().join("flights")
    }

    /// A message to Pong with metadata of these signers, for an ISM by message id.
    fn message(&mut self, body: u8, signed_by: &[usize]) -> (Vec<u8>, Vec<u8>) {
        self.message_for(IsmKind::MessageId, body, signed_by)
    }

    fn message_for(&mut self, ism: IsmKind, body: u8, signed_by: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let origin = domain_of(NetworkId(CHAIN_ID), ORIGIN);
        let message = Message {
            nonce: self.tree.count(),
            origin,
            sender: B256::repeat_byte(7),
            destination: CHAIN_ID as u32,
            recipient: self.pong.into_word(),
            body: vec![body],
            gas_limit: 0,
            deadline: Time(0),
            value: U256::ZERO,
        };
        let (packed, id) = (message.packed(), message.v3_id());
        let index = self.tree.insert(id).unwrap();
        let hook = evm::mailbox_address(ORIGIN).into_word();
        let checkpoint = Checkpoint { origin, hook, root: self.tree.root(), index, id };
        let signatures: Vec<_> =
            signed_by.iter().map(|signer| checkpoint.sign(&signers()[*signer]).unwrap().to_vec()).collect();
        let validators = signers().map(|signer| signer.address());
        let (threshold, left) = (signed_by.len(), self.tree.left_siblings());
        let metadata = match ism {
            IsmKind::MessageId => checkpoint.metadata(&validators, threshold, &signatures),
            IsmKind::MerkleRoot => checkpoint.merkle_metadata(&validators, threshold, &signatures, &left),
        };
        (packed, metadata.unwrap())
    }

    async fn tell(&self, method: &str, params: Value) {
        let _: Value = self.anvil.rpc().request(method, params).await.unwrap();
    }

    async fn received(&self) -> U256 {
        self.anvil.view(self.pong, &Pong::receivedCountCall {}).await.unwrap()
    }

    async fn sent_count(&self) -> u64 {
        let payer = self.patient().payer();
        let count: U64 = self.anvil.rpc().request("eth_getTransactionCount", json!([payer, "latest"])).await.unwrap();
        count.to()
    }

    /// Waits until something is under way in the journal, then is dead: the process between broadcast and record.
    async fn die_under_way(&self, mut submitter: Submitter, message: &[u8], metadata: &[u8]) {
        let journal = self.journal();
        tokio::select! {
            ended = submitter.deliver(message, metadata) => panic!("nothing is mined, and it ended: {ended:?}"),
            () = pooled(&self.anvil, &journal) => {}
        }
    }
}

/// What is under way by the journal.
fn flights(journal: &Path) -> impl Iterator<Item = Value> {
    let files = std::fs::read_dir(journal).into_iter().flatten().map(|file| file.unwrap().path());
    let whole = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    whole.filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
}

/// Until the journal has it and anvil's pool too.
async fn pooled(anvil: &Anvil, journal: &Path) {
    loop {
        let status: Value = anvil.rpc().request("txpool_status", json!([])).await.unwrap();
        if flights(journal).next().is_some() && status["pending"] != "0x0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_that_dies_between_broadcast_and_record_delivers_once() {
    let Some(mut there) = There::start().await else { return };
    let (message, metadata) = there.message(1, &[0, 2]);
    there.tell("evm_setAutomine", json!([false])).await;
    for _ in 0..3 {
        there.die_under_way(there.patient(), &message, &metadata).await;
    }
    there.tell("evm_setAutomine", json!([true])).await;
    there.tell("evm_mine", json!([])).await;
    assert!(matches!(there.patient().deliver(&message, &metadata).await.unwrap(), Submitted::Now { .. }));
    assert_eq!((there.received().await, there.sent_count().await), (U256::from(1), 1), "one transaction, no revert");
    assert_eq!(there.patient().deliver(&message, &metadata).await.unwrap(), Submitted::Before);
    assert_eq!(flights(&there.journal()).count(), 0);
    let (next, metadata) = there.message(2, &[0, 1]);
    assert!(matches!(there.patient().deliver(&next, &metadata).await.unwrap(), Submitted::Now { .. }));
    assert_eq!((there.received().await, there.sent_count().await), (U256::from(2), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_delivery_is_replaced_under_its_own_nonce() {
    let Some(mut there) = There::start().await else { return };
    let (message, metadata) = there.message(1, &[1, 2]);
    there.tell("evm_setAutomine", json!([false])).await;
    let mut submitter = there.submitter(u128::MAX, Duration::from_millis(300));
    let journal = there.journal();
    let replaced = async {
        loop {
            if flights(&journal).any(|flight| flight["hashes"].as_array().is_some_and(|hashes| hashes.len() > 1)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        there.tell("evm_mine", json!([])).await;
        there.tell("evm_setAutomine", json!([true])).await;
    };
    let (ended, ()) = tokio::join!(submitter.deliver(&message, &metadata), replaced);
    assert!(matches!(ended.unwrap(), Submitted::Now { .. }));
    assert_eq!((there.received().await, there.sent_count().await), (U256::from(1), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ism_refuses_costs_nothing_and_is_said() {
    let Some(mut there) = There::start().await else { return };
    let (message, short) = there.message(1, &[0]);
    assert!(matches!(there.patient().deliver(&message, &short).await, Err(SubmitError::Reverts(_))));
    let (message, mut metadata) = there.message(2, &[0, 1]);
    metadata[40] ^= 1;
    assert!(matches!(there.patient().deliver(&message, &metadata).await, Err(SubmitError::Reverts(_))));
    assert_eq!((there.received().await, there.sent_count().await), (U256::ZERO, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_above_what_is_allowed_and_an_account_that_runs_dry_lose_nothing() {
    let Some(mut there) = There::start().await else { return };
    let (message, metadata) = there.message(1, &[0, 1]);
    let cheap = there.submitter(1, Duration::from_mins(1)).deliver(&message, &metadata).await;
    assert!(matches!(cheap, Err(SubmitError::TooDear { max: 1, .. })), "{cheap:?}");
    let payer = there.patient().payer();
    there.tell("anvil_setBalance", json!([payer, "0x1"])).await;
    let dry = there.patient().deliver(&message, &metadata).await;
    assert!(matches!(dry, Err(SubmitError::Dry { .. })), "{dry:?}");
    there.tell("anvil_setBalance", json!([payer, "0xde0b6b3a7640000"])).await;
    assert!(matches!(there.patient().deliver(&message, &metadata).await.unwrap(), Submitted::Now { .. }));
    assert_eq!(there.received().await, U256::from(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ism_by_merkle_root_takes_each_message_with_its_path_and_none_with_anothers() {
    let factory = hyperlane::merkle_ism_factory().unwrap();
    let Some(mut there) = There::start_with(factory, 3, 2).await else { return };
    let mut before = None;
    for body in 1..=5 {
        let (message, metadata) = there.message_for(IsmKind::MerkleRoot, body, &[0, 2]);
        if let Some(other) = before.replace(metadata.clone()) {
            assert!(matches!(there.patient().deliver(&message, &other).await, Err(SubmitError::Reverts(_))));
        }
        let mut bent = metadata.clone();
        bent[100] ^= 1; // A sibling.
        assert!(matches!(there.patient().deliver(&message, &bent).await, Err(SubmitError::Reverts(_))));
        assert!(matches!(there.patient().deliver(&message, &metadata).await.unwrap(), Submitted::Now { .. }));
    }
    assert_eq!(there.received().await, U256::from(5));
}

/// What a delivery of one byte to Pong costs, each ISM's own figure; `docs/messaging.md` has what this prints.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_costs_what_the_documentation_says() {
    for (ism, validators, threshold) in [
        (IsmKind::MessageId, 1, 1_u8),
        (IsmKind::MessageId, 3, 2),
        (IsmKind::MerkleRoot, 1, 1),
        (IsmKind::MerkleRoot, 3, 2),
    ] {
        let factory = match ism {
            IsmKind::MessageId => hyperlane::ism_factory(),
            IsmKind::MerkleRoot => hyperlane::merkle_ism_factory(),
        };
        let Some(mut there) = There::start_with(factory.unwrap(), validators, threshold).await else { return };
        let signers: Vec<usize> = (0..usize::from(threshold)).collect();
        let mut costs = Vec::new();
        for body in 1..=3 {
            let (message, metadata) = there.message_for(ism, body, &signers);
            let Ok(Submitted::Now { gas_used, .. }) = there.patient().deliver(&message, &metadata).await else {
                panic!("not delivered");
            };
            costs.push(gas_used);
        }
        println!("{ism:?} {threshold}-of-{validators}: {costs:?} gas");
        assert!(costs.iter().all(|gas| (100_000..300_000).contains(gas)), "{costs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_submitters_with_one_key_deliver_everything_once() {
    let Some(mut there) = There::start().await else { return };
    let parcels: Vec<_> = (1..=6).map(|body| there.message(body, &[0, 1])).collect();
    let submitter = |name: &str| {
        let settings = SubmitterSettings {
            chain_id: CHAIN_ID,
            mailbox: there.mailbox,
            fee_max: u128::MAX,
            patience: Duration::from_secs(2),
            journal: there.dir.path().join(name),
        };
        Submitter::open(settings, Endpoint::new(there.anvil.url()).unwrap(), CARRIER_KEY.parse().unwrap()).unwrap()
    };
    let run = async |name: &str, parcels: Vec<(Vec<u8>, Vec<u8>)>| {
        let mut submitter = submitter(name);
        for (message, metadata) in parcels {
            match submitter.deliver(&message, &metadata).await {
                // The other one was first with this message, and the mailbox took it once.
                Ok(_) | Err(SubmitError::Reverts(_) | SubmitError::Reverted(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let mut reversed = parcels.clone();
    reversed.reverse();
    tokio::join!(run("one", parcels), run("other", reversed));
    assert_eq!(there.received().await, U256::from(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_under_way_together_and_found_again_together() {
    let Some(mut there) = There::start().await else { return };
    let parcels: Vec<_> = (1..=5).map(|body| there.message(body, &[1, 2])).collect();
    there.tell("evm_setAutomine", json!([false])).await;
    let mut submitter = there.patient();
    for (message, metadata) in &parcels {
        let parcel = Parcel { message, metadata, gas_min: 0 };
        assert_eq!(submitter.offer(parcel).await.unwrap(), Offered::UnderWay);
    }
    drop(submitter);
    let mut again = there.patient();
    assert_eq!(again.under_way_count(), 5);
    assert!(again.look().await.unwrap().is_empty());
    there.tell("evm_mine", json!([])).await;
    assert_eq!(again.look().await.unwrap().len(), 5);
    assert_eq!((there.received().await, there.sent_count().await), (U256::from(5), 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_spike_is_outbid_in_one_step_and_one_above_what_is_allowed_waits_without_loss() {
    let Some(mut there) = There::start().await else { return };
    let (message, metadata) = there.message(1, &[0, 1]);
    there.tell("evm_setAutomine", json!([false])).await;
    let mut submitter = there.submitter(1_000_000_000_000, Duration::from_millis(200));
    submitter.offer(Parcel { message: &message, metadata: &metadata, gas_min: 0 }).await.unwrap();
    // 100 gwei where the delivery was signed for a few.
    there.tell("anvil_setNextBlockBaseFeePerGas", json!(["0x174876e800"])).await;
    there.tell("evm_mine", json!([])).await;
    assert_eq!(there.received().await, U256::ZERO, "the spike is above what it was signed for");
    tokio::time::sleep(Duration::from_millis(300)).await;
    submitter.look().await.unwrap();
    there.tell("evm_mine", json!([])).await;
    let landed = submitter.look().await.unwrap();
    assert!(matches!(landed[..], [Landed { landing: Landing::Delivered(_), .. }]), "{landed:?}");
    assert_eq!((there.received().await, there.sent_count().await), (U256::from(1), 1));
}
