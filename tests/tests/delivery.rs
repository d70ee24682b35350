//! The way out alone, on anvil that mines when it is told to: a delivery whose process dies between broadcast and record, one that is
//! stuck, one that is handed in again.
//!
//! Without anvil these tests say so in a line and pass: `npm ci` in tests/e2e brings one.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, U64, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolValue;
use chains::endpoint::Endpoint;
use chains::hyperlane::{Checkpoint, IncrementalTree};
use chains::submitter::{SubmitError, Submitted, Submitter, SubmitterSettings};
use cluster::anvil::{self, Anvil, CARRIER_KEY, CHAIN_ID};
use fixtures::contracts::{Artifact, Pong};
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
        let Some(binary) = anvil::program() else {
            println!("there is no anvil here: nothing was tested");
            return None;
        };
        let anvil = Anvil::start(&binary, &[]).await.unwrap();
        let validators = signers().map(|signer| signer.address());
        let mailbox = anvil.deploy_hyperlane(&validators, 2).await.unwrap().mailbox;
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
        self.dir.path().join("delivery.json")
    }

    /// A message to Pong with metadata of these signers.
    fn message(&mut self, body: u8, signed_by: &[usize]) -> (Vec<u8>, Vec<u8>) {
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
        let metadata = checkpoint.metadata(&validators, signed_by.len(), &signatures).unwrap();
        (packed, metadata)
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

/// Until the journal has it and anvil's pool too.
async fn pooled(anvil: &Anvil, journal: &Path) {
    loop {
        let status: Value = anvil.rpc().request("txpool_status", json!([])).await.unwrap();
        if journal.exists() && status["pending"] != "0x0" {
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
    assert_eq!(there.patient().deliver(&message, &metadata).await.unwrap(), Submitted::Before);
    assert_eq!((there.received().await, there.sent_count().await), (U256::from(1), 1), "one transaction, no revert");
    assert!(!there.journal().exists());
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
            let bytes = std::fs::read(&journal).unwrap_or_default();
            let flight: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if flight["hashes"].as_array().is_some_and(|hashes| hashes.len() > 1) {
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
