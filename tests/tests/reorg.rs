//! anvil's own reorganisations, under an attestor's eyes: within the finality policy nothing that goes was ever believed, past it
//! the next block does not follow the last.
//!
//! Without anvil these tests say so in a line and pass: `npm ci` in tests/e2e brings one.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256};
use chains::chain::{Chain, Finality, MailboxEvents};
use chains::endpoint::Endpoint;
use chains::evm::EvmChain;
use cluster::anvil::{self, Anvil, CHAIN_ID};
use fixtures::hyperlane::ForeignMailbox;
use serde_json::{Value, json};

const DEPTH: u64 = 3;

async fn start() -> Option<(Anvil, Address)> {
    let Some(binary) = anvil::program() else {
        println!("there is no anvil here: nothing was tested");
        return None;
    };
    let anvil = Anvil::start(&binary, &[]).await.unwrap();
    let validators = [1, 2, 3].map(Address::repeat_byte);
    let mailbox = anvil.deploy_hyperlane(&validators, 2).await.unwrap().mailbox;
    Some((anvil, mailbox))
}

fn reader(anvil: &Anvil, mailbox: Address) -> EvmChain {
    let endpoints = [anvil.url().to_owned(), anvil.url().replace("127.0.0.1", "localhost")];
    let endpoints = endpoints.iter().map(|url| Endpoint::new(url).unwrap()).collect();
    EvmChain::new(CHAIN_ID, mailbox, Finality::Depth { blocks: DEPTH }, endpoints, 2)
}

async fn dispatch(anvil: &Anvil, mailbox: Address) {
    let call = ForeignMailbox::dispatchCall { destination: 5, recipient: B256::repeat_byte(7), body: vec![1].into() };
    anvil.send(mailbox, &call).await.unwrap();
}

async fn tell(anvil: &Anvil, method: &str, params: Value) {
    let _: Value = anvil.rpc().request(method, params).await.unwrap();
}

/// What the mailbox did in every final block from `from` on.
async fn read(chain: &EvmChain, from: u64) -> Vec<MailboxEvents> {
    let mut all = Vec::new();
    for number in from..=chain.finalized().await.unwrap().number {
        let block = chain.block(number).await.unwrap();
        all.push(chain.events(&block).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_a_reorganisation_within_the_policy_orphans_is_never_seen() {
    let Some((anvil, mailbox)) = start().await else { return };
    let chain = reader(&anvil, mailbox);
    tell(&anvil, "anvil_mine", json!(["0x5"])).await;
    let before = chain.finalized().await.unwrap();
    dispatch(&anvil, mailbox).await;
    tell(&anvil, "anvil_mine", json!(["0x1"])).await;
    assert!(read(&chain, before.number + 1).await.iter().all(|events| events.dispatched.is_empty()), "it is not final");
    tell(&anvil, "anvil_reorg", json!([2, []])).await;
    tell(&anvil, "anvil_mine", json!(["0x6"])).await;
    let seen = read(&chain, before.number + 1).await;
    assert!(seen.len() >= 4 && seen.iter().all(|events| events.dispatched.is_empty()), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_past_the_policy_shows_in_the_next_blocks_parent() {
    let Some((anvil, mailbox)) = start().await else { return };
    let chain = reader(&anvil, mailbox);
    dispatch(&anvil, mailbox).await;
    tell(&anvil, "anvil_mine", json!(["0x3"])).await;
    let last = chain.finalized().await.unwrap();
    assert_eq!(chain.events(&last).await.unwrap().dispatched.len(), 1, "it was final");
    tell(&anvil, "anvil_reorg", json!([DEPTH + 1, []])).await;
    tell(&anvil, "anvil_mine", json!(["0x2"])).await;
    let next = chain.block(last.number + 1).await.unwrap();
    assert_ne!(next.parent, last.hash, "which is what stops an attestor, with evidence");
}
