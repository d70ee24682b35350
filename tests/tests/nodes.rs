//! Another foreign chain than anvil: hardhat's node. A delivery there, a message from there, and what an attestor reads of both.
//!
//! Where it is not installed the test says so in a line and passes: `scripts/setup tests` brings it.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{B256, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use chains::chain::{Chain, Finality, ProcessedMessage};
use chains::endpoint::Endpoint;
use chains::evm::EvmChain;
use chains::hyperlane::{Checkpoint, IncrementalTree};
use chains::submitter::{Submitted, Submitter, SubmitterSettings};
use cluster::anvil::{Anvil, CARRIER_KEY, CHAIN_ID};
use fixtures::hyperlane::ForeignMailbox;
use primitives::{NetworkId, ShardId, Time};
use proof::{Message, domain_of};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Init code of a recipient that takes everything.
const TAKES_ALL: &[u8] = &[0x60, 0x01, 0x60, 0x0c, 0x60, 0, 0x39, 0x60, 0x01, 0x60, 0, 0xf3, 0];

/// hardhat's node, if it is installed.
fn hardhat() -> Option<Command> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/hardhat");
    let folder = std::env::var_os("DOVETAIL_HARDHAT").map_or(own, PathBuf::from);
    let cli = folder.join("node_modules/hardhat/dist/src/cli.js");
    let node = folder.join("../node_modules/node/bin/node");
    if !cli.is_file() || !node.is_file() {
        return None;
    }
    let mut command = Command::new(node);
    command.current_dir(&folder).env("CI", "true").env("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true").arg(cli).arg("node");
    Some(command)
}

/// A message each way over this node, read back by an attestor's eyes.
async fn carries(node: Anvil) {
    let signers = [1, 2, 3].map(|seed| PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap());
    let validators = signers.each_ref().map(PrivateKeySigner::address);
    let mailbox = node.deploy_hyperlane(&validators, 2).await.unwrap().mailbox;
    let recipient = node.deploy(Bytes::from_static(TAKES_ALL)).await.unwrap();
    let origin = domain_of(NetworkId(CHAIN_ID), ShardId(0));
    let dispatch =
        ForeignMailbox::dispatchCall { destination: origin, recipient: B256::repeat_byte(7), body: vec![5].into() };
    node.send(mailbox, &dispatch).await.unwrap();

    let message = Message {
        nonce: 0,
        origin,
        sender: B256::repeat_byte(7),
        destination: CHAIN_ID as u32,
        recipient: recipient.into_word(),
        body: vec![1],
        gas_limit: 0,
        deadline: Time(0),
        value: U256::ZERO,
    };
    let (packed, id, mut tree) = (message.packed(), message.v3_id(), IncrementalTree::default());
    let index = tree.insert(id).unwrap();
    let hook = evm::mailbox_address(ShardId(0)).into_word();
    let checkpoint = Checkpoint { origin, hook, root: tree.root(), index, id };
    let signatures: Vec<_> = signers.iter().map(|signer| checkpoint.sign(signer).unwrap().to_vec()).collect();
    let metadata = checkpoint.metadata(&validators, 2, &signatures).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (chain_id, patience, journal) = (CHAIN_ID, Duration::from_mins(1), dir.path().join("flights"));
    let settings = SubmitterSettings { chain_id, mailbox, fee_max: u128::MAX, patience, journal };
    let endpoint = || Endpoint::new(node.url()).unwrap();
    let mut submitter = Submitter::open(settings, endpoint(), CARRIER_KEY.parse().unwrap()).unwrap();
    assert!(matches!(submitter.deliver(&packed, &metadata).await.unwrap(), Submitted::Now { .. }));
    assert_eq!(submitter.deliver(&packed, &metadata).await.unwrap(), Submitted::Before);

    let chain = EvmChain::new(CHAIN_ID, mailbox, Finality::Instant, vec![endpoint(), endpoint()], 2);
    let (mut dispatched, mut processed) = (Vec::new(), Vec::new());
    let newest = chain.finalized().await.unwrap().number;
    for number in 0..=newest {
        let block = chain.block(number).await.unwrap();
        let events = chain.events(&block).await.unwrap();
        dispatched.extend(events.dispatched);
        processed.extend(events.processed);
    }
    assert_eq!(dispatched.len(), 1);
    let read = Message::from_packed(&dispatched[0], 0, Time(0), U256::ZERO).unwrap();
    assert_eq!((read.destination, read.body), (origin, vec![5]));
    assert_eq!(processed, [ProcessedMessage { origin, id }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hardhats_node_is_a_foreign_chain() {
    let Some(command) = hardhat() else { return println!("there is no hardhat here: nothing was tested") };
    carries(Anvil::start_as(command, ["--hostname", "127.0.0.1", "--port"]).await.unwrap()).await;
}
