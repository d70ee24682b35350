//! Reading a simulated chain through endpoints that misbehave over real HTTP: what counts, what does not, and what is evidence.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::Address;
use dovetail_chains::chain::{Chain, ChainError, Finality, MailboxEvents, ProcessedMessage};
use dovetail_chains::endpoint::{Endpoint, EndpointError};
use dovetail_chains::evm::EvmChain;
use dovetail_chains::simulated::{Fault, Served, SimulatedChain};
use std::time::Duration;

const CHAIN_ID: u64 = 900;

fn mailbox() -> Address {
    Address::repeat_byte(0x11)
}

fn simulated(finality: Finality) -> SimulatedChain {
    SimulatedChain::new(CHAIN_ID, mailbox(), finality)
}

fn message(byte: u8) -> Vec<u8> {
    let mut message = vec![byte; 90];
    message[0] = 3;
    message
}

async fn served(chain: &SimulatedChain, faults: &[Fault]) -> Vec<Served> {
    let mut all = Vec::new();
    for fault in faults {
        all.push(chain.serve(*fault).await.unwrap());
    }
    all
}

fn reader(served: &[Served], needed: usize, finality: Finality) -> EvmChain {
    let endpoint = |served: &Served| Endpoint::new(&served.url).unwrap().with_timeout(Duration::from_secs(2));
    EvmChain::new(CHAIN_ID, mailbox(), finality, served.iter().map(endpoint).collect(), needed)
}

/// What a reader over three endpoints, two of them to agree, takes from a chain whose block 1 has two messages.
async fn read_through(faults: [Fault; 3]) -> Result<Vec<Vec<u8>>, ChainError> {
    let chain = simulated(Finality::Instant);
    chain.mine(&[message(1), message(2)]);
    let served = served(&chain, &faults).await;
    let reader = reader(&served, 2, Finality::Instant);
    let head = reader.finalized().await?;
    assert_eq!(head, chain.block(1).await.unwrap());
    Ok(reader.events(&head).await?.dispatched)
}

#[tokio::test]
async fn two_of_three_honest_endpoints_are_enough_whatever_the_third_does() {
    let all = [
        Fault::None,
        Fault::RateLimited,
        Fault::Garbage,
        Fault::Huge,
        Fault::Stalled,
        Fault::Nothing,
        Fault::WrongChain,
        Fault::OtherReceipts,
        Fault::OmittedLog,
        Fault::NoBlockReceipts,
    ];
    for fault in all {
        let read = read_through([fault, Fault::None, Fault::None]).await;
        assert_eq!(read, Ok(vec![message(1), message(2)]), "{fault:?}");
    }
}

#[tokio::test]
async fn two_of_three_endpoints_without_an_answer_lower_no_quorum() {
    for fault in [Fault::RateLimited, Fault::Garbage, Fault::Huge, Fault::Stalled, Fault::Nothing, Fault::WrongChain] {
        let read = read_through([fault, fault, Fault::None]).await;
        assert!(matches!(read, Err(ChainError::TooFew { agreeing: 1, needed: 2, .. })), "{fault:?}: {read:?}");
    }
}

#[tokio::test]
async fn receipts_that_the_header_does_not_commit_to_are_nobodys_word() {
    for fault in [Fault::OtherReceipts, Fault::OmittedLog] {
        let read = read_through([fault; 3]).await;
        assert!(matches!(read, Err(ChainError::TooFew { agreeing: 0, .. })), "{fault:?}: {read:?}");
    }
}

#[tokio::test]
async fn an_answer_of_a_hundred_megabytes_is_not_read_to_its_end() {
    let chain = simulated(Finality::Instant);
    let served = chain.serve(Fault::Huge).await.unwrap();
    let answer: Result<String, _> =
        Endpoint::new(&served.url).unwrap().call("eth_chainId", serde_json::json!([])).await;
    assert_eq!(answer, Err(EndpointError::TooLarge));
}

#[tokio::test]
async fn endpoints_of_two_forks_are_a_disagreement_that_verifies_offline() {
    let chain = simulated(Finality::Instant);
    chain.mine_empty(1);
    let other = chain.fork();
    chain.mine(&[message(1)]);
    other.reorganise(1);
    other.mine(&[message(2)]);
    let served = [chain.serve(Fault::None).await.unwrap(), other.serve(Fault::None).await.unwrap()];
    let refused = reader(&served, 2, Finality::Instant).finalized().await;
    let Err(ChainError::Disagreement(evidence)) = refused else { panic!("{refused:?}") };
    assert_eq!((evidence.chain_id, evidence.number, evidence.shown.len()), (CHAIN_ID, 2, 2));
    assert_eq!(evidence.verify(), Ok(()));
    let mut forged = (*evidence).clone();
    forged.shown[1] = forged.shown[0].clone();
    assert!(forged.verify().is_err());
    let mut bytes = evidence.shown[0].header.to_vec();
    bytes[40] ^= 1;
    let mut forged = *evidence;
    forged.shown[0].header = bytes.into();
    assert!(forged.verify().is_err());
}

#[tokio::test]
async fn one_lying_endpoint_of_three_is_outvoted() {
    let chain = simulated(Finality::Instant);
    let other = chain.fork();
    chain.mine(&[message(1)]);
    other.reorganise(1);
    other.mine(&[message(9)]);
    let served = [
        other.serve(Fault::None).await.unwrap(),
        chain.serve(Fault::None).await.unwrap(),
        chain.serve(Fault::None).await.unwrap(),
    ];
    let reader = reader(&served, 2, Finality::Instant);
    let head = reader.finalized().await.unwrap();
    assert_eq!(reader.events(&head).await.unwrap().dispatched, [message(1)]);
}

#[tokio::test]
async fn a_message_within_the_depth_is_not_final_and_is_gone_after_a_reorg() {
    let finality = Finality::Depth { blocks: 3 };
    let chain = simulated(finality);
    chain.mine(&[message(1)]);
    chain.mine_empty(2);
    let served = served(&chain, &[Fault::None, Fault::None]).await;
    let reader = reader(&served, 2, finality);
    assert_eq!(reader.finalized().await.unwrap().number, 0, "two blocks on it are not three");
    chain.reorganise(3);
    chain.mine_empty(1);
    let head = reader.finalized().await.unwrap();
    assert_eq!(head.number, 1);
    assert_eq!(reader.events(&head).await, Ok(MailboxEvents::default()), "the orphaned message is never seen");
}

#[tokio::test]
async fn a_chain_that_halts_moves_nothing_and_breaks_nothing() {
    let chain = simulated(Finality::Finalized);
    chain.mine_empty(70);
    let served = served(&chain, &[Fault::None, Fault::None]).await;
    let reader = reader(&served, 2, Finality::Finalized);
    let head = reader.finalized().await.unwrap();
    assert_eq!(head.number, 70 - 64);
    assert_eq!(reader.finalized().await.unwrap(), head);
}

#[tokio::test]
async fn what_was_processed_is_read_beside_what_was_dispatched() {
    let chain = simulated(Finality::Instant);
    let processed = [5, 6].map(|byte| ProcessedMessage { origin: 7, id: alloy_primitives::B256::repeat_byte(byte) });
    let events =
        MailboxEvents { dispatched: vec![message(1)], processed: processed.to_vec(), transactions: Vec::new() };
    chain.mine_events(events);
    let served = served(&chain, &[Fault::None, Fault::None]).await;
    let reader = reader(&served, 2, Finality::Instant);
    let head = reader.finalized().await.unwrap();
    let events = chain.events(&head).await.unwrap();
    assert_eq!(
        (&events.dispatched[..], &events.processed[..], events.transactions.len()),
        (&[message(1)][..], &processed[..], 3)
    );
    assert_eq!(reader.events(&head).await, Ok(events), "each with its own transaction");
}

#[tokio::test]
async fn a_node_without_a_call_for_a_blocks_receipts_is_asked_for_each() {
    assert_eq!(read_through([Fault::NoBlockReceipts; 3]).await, Ok(vec![message(1), message(2)]));
}
