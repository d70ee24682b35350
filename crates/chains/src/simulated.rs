//! A chain that misbehaves as it is told: for tests of whoever reads foreign chains.
//!
//! ```text
//!   SimulatedChain: mine(messages), reorganise(depth), halt  --clone--> a Chain by itself
//!        |
//!        +-- serve(fault) --> a JSON-RPC endpoint over real HTTP on loopback: honest, or lying, stalling, rate limiting …
//! ```
//!
//! Promise: real headers, whose hashes and receipt roots are right, so that a reader who checks them can tell a lie from the truth.
//! Knows no transactions: a block's receipts are its mailbox's dispatches and deliveries, one receipt each.

mod server;

pub use server::{Fault, Served};

use crate::chain::{Chain, ChainError, Finality, Head, MailboxEvents, ProcessedMessage};
use crate::evm::{Dispatch, Process, ProcessId};
use alloy_consensus::proofs::calculate_receipt_root;
use alloy_consensus::{Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom};
use alloy_primitives::{Address, B256, Bloom, Log, LogData};
use alloy_sol_types::SolEvent;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) receipts: Vec<ReceiptEnvelope<Log>>,
    events: MailboxEvents,
}

impl Block {
    /// What its transactions are called, in order: nothing else is known of them.
    pub(crate) fn transactions(&self) -> Vec<B256> {
        let hash = self.header.hash_slow();
        let name = |index: usize| alloy_primitives::keccak256([&hash[..], &index.to_be_bytes()].concat());
        (0..self.receipts.len()).map(name).collect()
    }
}

#[derive(Debug)]
struct State {
    blocks: Vec<Block>,
    /// Drawn on for what makes a block another one than its twin.
    branch: u64,
}

/// A chain in memory; clones are the same chain.
#[derive(Debug, Clone)]
pub struct SimulatedChain {
    pub(crate) chain_id: u64,
    mailbox: Address,
    finality: Finality,
    state: Arc<Mutex<State>>,
}

impl SimulatedChain {
    /// A chain with a first block and nothing in it.
    pub fn new(chain_id: u64, mailbox: Address, finality: Finality) -> Self {
        let state = Arc::new(Mutex::new(State { blocks: Vec::new(), branch: 0 }));
        let chain = Self { chain_id, mailbox, finality, state };
        chain.mine(&[]);
        chain
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next block, in which the mailbox dispatched these v3 bytes.
    pub fn mine(&self, messages: &[Vec<u8>]) -> Head {
        self.mine_events(MailboxEvents { dispatched: messages.to_vec(), ..MailboxEvents::default() })
    }

    /// The next block, in which the mailbox did this, in transactions of the chain's own.
    pub fn mine_events(&self, events: MailboxEvents) -> Head {
        let mut state = self.state();
        let dispatched = events.dispatched.iter().map(|message| vec![dispatch(message)]);
        let processed = events.processed.iter().map(processed);
        let receipts: Vec<_> = dispatched.chain(processed).map(|logs| receipt(self.mailbox, logs)).collect();
        let bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        let number = state.blocks.len() as u64;
        let header = Header {
            number,
            parent_hash: state.blocks.last().map_or(B256::ZERO, |block| block.header.hash_slow()),
            timestamp: 1_700_000_000 + number * 12,
            receipts_root: calculate_receipt_root(&receipts),
            logs_bloom: bloom,
            extra_data: state.branch.to_be_bytes().to_vec().into(),
            ..Header::default()
        };
        let head = Head::of(&header);
        state.blocks.push(Block { header, receipts, events });
        head
    }

    /// So many blocks without messages.
    pub fn mine_empty(&self, count: u64) {
        for _ in 0..count {
            self.mine(&[]);
        }
    }

    /// Takes back the last `depth` blocks, but never the first, and puts as many others without messages in their place.
    pub fn reorganise(&self, depth: u64) {
        let replaced = {
            let mut state = self.state();
            state.branch += 1;
            let kept = state.blocks.len().saturating_sub(depth as usize).max(1);
            state.blocks.drain(kept..).count()
        };
        self.mine_empty(replaced as u64);
    }

    /// A chain that is the same up to here and goes its own way from here on.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state();
        let forked = State { blocks: state.blocks.clone(), branch: state.branch + 1_000 };
        Self { state: Arc::new(Mutex::new(forked)), ..self.clone() }
    }

    /// The newest block's number.
    pub fn tip(&self) -> u64 {
        self.state().blocks.len() as u64 - 1
    }

    pub(crate) fn get(&self, number: u64) -> Option<Block> {
        self.state().blocks.get(number as usize).cloned()
    }

    /// Up to which number the policy calls it final; the tag is a fixed 64 blocks behind.
    pub(crate) fn final_number(&self) -> u64 {
        match self.finality {
            Finality::Instant => self.tip(),
            Finality::Depth { blocks } => self.tip().saturating_sub(blocks),
            Finality::Finalized => self.tip().saturating_sub(64),
        }
    }
}

impl Chain for SimulatedChain {
    async fn finalized(&self) -> Result<Head, ChainError> {
        self.block(self.final_number()).await
    }

    async fn block(&self, number: u64) -> Result<Head, ChainError> {
        let missing =
            || ChainError::TooFew { what: format!("block {number}"), agreeing: 0, needed: 1, said: Vec::new() };
        self.get(number).map(|block| Head::of(&block.header)).ok_or_else(missing)
    }

    async fn events(&self, block: &Head) -> Result<MailboxEvents, ChainError> {
        let found = self.get(block.number).filter(|found| found.header.hash_slow() == block.hash);
        let missing =
            || ChainError::TooFew { what: format!("block {}", block.hash), agreeing: 0, needed: 1, said: Vec::new() };
        let told = |found: Block| MailboxEvents { transactions: found.transactions(), ..found.events };
        found.map(told).ok_or_else(missing)
    }
}

/// The log of a dispatch of `message`.
fn dispatch(message: &[u8]) -> LogData {
    let word = |at: usize| message.get(at..at + 32).map(B256::from_slice).unwrap_or_default();
    let number = |at: usize| message.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let event = Dispatch {
        sender: Address::from_word(word(9)),
        destination: number(41),
        recipient: word(45),
        message: message.to_vec().into(),
    };
    event.encode_log_data()
}

/// The logs of a delivery.
fn processed(message: &ProcessedMessage) -> Vec<LogData> {
    let first = Process { origin: message.origin, sender: B256::ZERO, recipient: Address::ZERO };
    vec![first.encode_log_data(), ProcessId { messageId: message.id }.encode_log_data()]
}

/// The receipt of a transaction with these logs of the mailbox.
fn receipt(mailbox: Address, logs: Vec<LogData>) -> ReceiptEnvelope<Log> {
    let logs = logs.into_iter().map(|data| Log { address: mailbox, data }).collect();
    let receipt = Receipt { status: Eip658Value::Eip658(true), cumulative_gas_used: 100_000, logs };
    ReceiptEnvelope::Eip1559(ReceiptWithBloom::from(receipt))
}
