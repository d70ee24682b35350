//! An EVM chain behind several endpoints, of which so many must agree on a block's hash.
//!
//! ```text
//!   endpoints --header--> hash computed here, not read --> k of n show the same one --> Head
//!   any endpoint --receipts of that block--> their trie's root computed here = the header's --> the mailbox's events
//! ```
//!
//! Promise: a block counts once k independent endpoints show its header; its messages need nobody's word then, because the
//! header commits to them: an endpoint can leave none out, add none, and show no other block's. Fewer than k is an error
//! that names what each said, never a lower k.
//! Source: Ethereum yellow paper §4.3 for the header's commitments; `KelpDAO`, 2026, for the k of n.

use crate::chain::{Chain, ChainError, Finality, Head, MailboxEvents, ProcessedMessage};
use crate::endpoint::{Endpoint, EndpointError};
use crate::evidence::{Disagreement, Shown};
use alloy_consensus::proofs::calculate_receipt_root;
use alloy_consensus::{Header, ReceiptEnvelope};
use alloy_primitives::{Address, B256, BloomInput, Log, U64};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_sol_types::{SolEvent, sol};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// How many transactions a block has at most: far more than a block's gas pays for.
const TRANSACTIONS_COUNT_MAX: usize = 20_000;

sol! {
    /// Hyperlane's mailbox, as far as a reader of its logs needs it.
    #[derive(Debug)]
    event Dispatch(address indexed sender, uint32 indexed destination, bytes32 indexed recipient, bytes message);

    /// The first of two logs of one delivery; which message it was says the second.
    #[derive(Debug)]
    event Process(uint32 indexed origin, bytes32 indexed sender, address indexed recipient);

    /// The second.
    #[derive(Debug)]
    event ProcessId(bytes32 indexed messageId);
}

/// An EVM chain.
#[derive(Debug, Clone)]
pub struct EvmChain {
    chain_id: u64,
    mailbox: Address,
    finality: Finality,
    endpoints: Vec<Endpoint>,
    needed: usize,
}

impl EvmChain {
    /// The chain `chain_id` with this mailbox, final by this policy, as `needed` of `endpoints` agree on it.
    pub fn new(chain_id: u64, mailbox: Address, finality: Finality, endpoints: Vec<Endpoint>, needed: usize) -> Self {
        Self { chain_id, mailbox, finality, endpoints, needed: needed.max(1) }
    }

    /// How far each endpoint says that the chain is final; the error for one that is on another chain.
    async fn final_number(&self, endpoint: &Endpoint) -> Result<u64, EndpointError> {
        let chain: U64 = endpoint.call("eth_chainId", json!([])).await?;
        if chain.to::<u64>() != self.chain_id {
            return Err(EndpointError::Garbage(format!("chain {chain} where {} is configured", self.chain_id)));
        }
        let latest = async { Ok(endpoint.call::<U64>("eth_blockNumber", json!([])).await?.to::<u64>()) };
        match self.finality {
            Finality::Instant => latest.await,
            Finality::Depth { blocks } => latest.await.map(|number: u64| number.saturating_sub(blocks)),
            Finality::Finalized => Ok(header(endpoint, json!("finalized")).await?.number),
        }
    }

    /// Every endpoint's answer, or what it said instead.
    async fn ask_all<'a, T, F>(&'a self, ask: impl Fn(&'a Endpoint) -> F) -> (Vec<(&'a Endpoint, T)>, Vec<String>)
    where
        F: Future<Output = Result<T, EndpointError>>,
    {
        let answers = join_all(self.endpoints.iter().map(ask)).await;
        let (mut given, mut said) = (Vec::new(), Vec::new());
        for (endpoint, answer) in self.endpoints.iter().zip(answers) {
            match answer {
                Ok(answer) => given.push((endpoint, answer)),
                Err(error) => said.push(format!("{}: {error}", endpoint.name())),
            }
        }
        (given, said)
    }

    fn too_few(&self, what: String, agreeing: usize, said: Vec<String>) -> ChainError {
        ChainError::TooFew { what, agreeing, needed: self.needed, said }
    }

    /// The header of this number that enough endpoints show.
    async fn agreed(&self, number: u64) -> Result<Header, ChainError> {
        let (given, mut said) = self.ask_all(|endpoint| header(endpoint, json!(format!("{number:#x}")))).await;
        let mut shown: BTreeMap<B256, (Header, Vec<String>)> = BTreeMap::new();
        for (endpoint, header) in given {
            if header.number != number {
                said.push(format!("{}: block {} where {number} was asked for", endpoint.name(), header.number));
                continue;
            }
            shown.entry(header.hash_slow()).or_insert((header, Vec::new())).1.push(endpoint.name());
        }
        if shown.len() > 1 {
            tracing::warn!(chain = self.chain_id, number, "endpoints showed different blocks of one final number");
        }
        let most = shown.values().max_by_key(|(_, by)| by.len());
        match most {
            Some((header, by)) if by.len() >= self.needed => Ok(header.clone()),
            Some(_) if shown.len() > 1 => Err(ChainError::Disagreement(Box::new(self.disagreement(number, &shown)))),
            most => Err(self.too_few(format!("block {number}"), most.map_or(0, |(_, by)| by.len()), said)),
        }
    }

    fn disagreement(&self, number: u64, shown: &BTreeMap<B256, (Header, Vec<String>)>) -> Disagreement {
        let shown = shown.values().map(|(header, by)| Shown::new(header, by.clone())).collect();
        Disagreement { chain_id: self.chain_id, number, shown }
    }

    /// The logs of `block`, each with its transaction, from whichever endpoint shows receipts that its header commits to.
    async fn logs(&self, block: &Head) -> Result<Vec<(B256, Log)>, ChainError> {
        let mut said = Vec::new();
        for endpoint in &self.endpoints {
            match receipts(endpoint, block).await {
                Ok(logs) => return Ok(logs),
                Err(error) => said.push(format!("{}: {error}", endpoint.name())),
            }
        }
        Err(self.too_few(format!("the receipts of block {}", block.number), 0, said))
    }
}

impl Chain for EvmChain {
    async fn finalized(&self) -> Result<Head, ChainError> {
        let (given, said) = self.ask_all(|endpoint| self.final_number(endpoint)).await;
        let mut numbers: Vec<u64> = given.into_iter().map(|(_, number)| number).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        // So many say that it is at least this far; who says more is not believed alone, who says less holds nobody up.
        match numbers.get(self.needed - 1) {
            Some(number) => self.block(*number).await,
            None => Err(self.too_few("how far the chain is final".to_owned(), numbers.len(), said)),
        }
    }

    async fn block(&self, number: u64) -> Result<Head, ChainError> {
        Ok(Head::of(&self.agreed(number).await?))
    }

    async fn events(&self, block: &Head) -> Result<MailboxEvents, ChainError> {
        let may = |input: &[u8]| block.bloom.contains_input(BloomInput::Raw(input));
        let kinds = [Dispatch::SIGNATURE_HASH, ProcessId::SIGNATURE_HASH];
        if !may(self.mailbox.as_slice()) || !kinds.iter().any(|kind| may(kind.as_slice())) {
            return Ok(MailboxEvents::default());
        }
        Ok(events(self.mailbox, &self.logs(block).await?))
    }
}

/// What these logs say that `mailbox` did.
fn events(mailbox: Address, logs: &[(B256, Log)]) -> MailboxEvents {
    let (mut events, mut processing, mut origin) = (MailboxEvents::default(), Vec::new(), None);
    for (transaction, log) in logs.iter().filter(|(_, log)| log.address == mailbox) {
        if let Ok(dispatch) = Dispatch::decode_log(log) {
            events.dispatched.push(dispatch.data.message.to_vec());
            events.transactions.push(*transaction);
        } else if let Ok(process) = Process::decode_log(log) {
            origin = Some(process.data.origin);
        } else if let (Ok(done), Some(origin)) = (ProcessId::decode_log(log), origin.take()) {
            // The mailbox logs the two one after the other, before it calls anybody.
            events.processed.push(ProcessedMessage { origin, id: done.data.messageId });
            processing.push(*transaction);
        }
    }
    events.transactions.append(&mut processing);
    events
}

/// A header by number or tag; its hash is for the caller to compute.
async fn header(endpoint: &Endpoint, block: serde_json::Value) -> Result<Header, EndpointError> {
    let header: Option<alloy_rpc_types_eth::Header> =
        endpoint.call("eth_getBlockByNumber", json!([block, false])).await?;
    Ok(header.ok_or_else(|| EndpointError::Garbage("no such block".to_owned()))?.inner)
}

/// The logs of a block, each with its transaction, if the receipts are the ones that its header commits to.
async fn receipts(endpoint: &Endpoint, block: &Head) -> Result<Vec<(B256, Log)>, EndpointError> {
    let number = format!("{:#x}", block.number);
    let answer = endpoint.call::<Option<Vec<TransactionReceipt>>>("eth_getBlockReceipts", json!([number])).await;
    let receipts = match answer {
        Ok(receipts) => receipts.ok_or_else(|| EndpointError::Garbage("no receipts".to_owned()))?,
        // Not every node has the call; which error it gives instead is its own.
        Err(EndpointError::Refused { .. }) => receipts_one_by_one(endpoint, block).await?,
        Err(error) => return Err(error),
    };
    let (transactions, receipts): (Vec<B256>, Vec<ReceiptEnvelope<Log>>) =
        receipts.into_iter().map(|receipt| (receipt.transaction_hash, receipt.inner.into_primitives_receipt())).unzip();
    if calculate_receipt_root(&receipts) != block.receipts_root {
        return Err(EndpointError::Garbage("receipts of another block".to_owned()));
    }
    let logs = |(transaction, receipt): (B256, &ReceiptEnvelope<Log>)| {
        receipt.logs().iter().map(move |log| (transaction, log.clone())).collect::<Vec<_>>()
    };
    Ok(transactions.into_iter().zip(&receipts).flat_map(logs).collect())
}

/// The same from a node that has no call for a whole block's.
async fn receipts_one_by_one(endpoint: &Endpoint, block: &Head) -> Result<Vec<TransactionReceipt>, EndpointError> {
    let shown: Option<Transactions> = endpoint.call("eth_getBlockByHash", json!([block.hash, false])).await?;
    let hashes = shown.ok_or_else(|| EndpointError::Garbage("no such block".to_owned()))?.transactions;
    if hashes.len() > TRANSACTIONS_COUNT_MAX {
        return Err(EndpointError::TooLarge);
    }
    let mut receipts = Vec::with_capacity(hashes.len());
    for hash in hashes {
        let receipt: Option<TransactionReceipt> = endpoint.call("eth_getTransactionReceipt", json!([hash])).await?;
        receipts.push(receipt.ok_or_else(|| EndpointError::Garbage("no receipt".to_owned()))?);
    }
    Ok(receipts)
}

/// Of a block, what it takes to ask for its receipts.
#[derive(Debug, Deserialize)]
struct Transactions {
    transactions: Vec<B256>,
}
