//! A slot as an Ethereum block: header, transactions, receipts, logs.

use super::chain::SlotBlock;
use super::entry::{EntryView, lost};
use super::error::error;
use crate::state::OutcomeRecord;
use alloy_consensus::proofs::ordered_trie_root_with_encoder;
use alloy_consensus::transaction::Recovered;
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EthereumTxEnvelope, Receipt, ReceiptEnvelope, ReceiptWithBloom,
    Transaction as _, TxEip4844, TypedTransaction,
};
use alloy_eips::eip2718::{Decodable2718, EIP4844_TX_TYPE_ID, Encodable2718};
use alloy_eips::eip4844::{BLOB_TX_MIN_BLOB_GASPRICE, fake_exponential};
use alloy_eips::eip4895::Withdrawals;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, Signature, U256};
use alloy_rlp::{EMPTY_LIST_CODE, Encodable, length_of_length};
use alloy_rpc_types_eth::{Block, BlockTransactions, Header, Transaction};
use evm::{NetworkParams, Outcome, SpecId, Status, SystemTransaction};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::INTERNAL_ERROR_CODE;
use primitives::Slot;
use serde_json::Value;

/// The type that transactions of the protocol itself are shown with.
pub(super) const SYSTEM_TYPE: &str = "0x7e";

/// The same, as the first byte of what stands for one in a block's tries.
const SYSTEM_TYPE_ID: u8 = 0x7e;

/// Bytes of an empty list in RLP.
const EMPTY_LIST_BYTES: usize = 1;

pub(super) type Envelope = EthereumTxEnvelope<TxEip4844>;

/// Whether a block shows transactions in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Hashes.
    Hashes,
    /// All fields.
    Full,
}

/// A slot, seen as a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockView<'a> {
    pub(super) params: &'a NetworkParams,
    pub(super) block: &'a SlotBlock,
    /// What time it is in the block, in seconds.
    pub(super) time: u64,
}

impl BlockView<'_> {
    fn hash(&self) -> B256 {
        self.params.block_hash(self.block.slot.0)
    }

    /// The block, with its header. One that was told without a shard says so.
    pub(super) fn block(&self, detail: Detail) -> Result<Value, ErrorObjectOwned> {
        let transactions = match detail {
            Detail::Hashes => BlockTransactions::Hashes(self.block.outcomes.iter().map(|o| o.transaction).collect()),
            Detail::Full => {
                BlockTransactions::Full(self.entries().map(|entry| entry.transaction()).collect::<Result<_, _>>()?)
            }
        };
        let block: Block<Value, Header> =
            Block { header: self.header(), uncles: Vec::new(), transactions, withdrawals: self.withdrawals() };
        Ok(self.with_silent(to_value(&block)?))
    }

    /// The header alone, which says the same.
    pub(super) fn header_alone(&self) -> Result<Value, ErrorObjectOwned> {
        let header = Header { size: None, ..self.header() };
        Ok(self.with_silent(to_value(&header)?))
    }

    fn with_silent(&self, mut value: Value) -> Value {
        if !self.block.silent.is_empty() {
            value["silentShards"] = self.block.silent.iter().map(|shard| hex(shard.0.into())).collect();
        }
        value
    }

    /// None ever, from the fork on that knows them.
    fn withdrawals(&self) -> Option<Withdrawals> {
        self.has(SpecId::SHANGHAI).then(Withdrawals::default)
    }

    /// Whether the rules of `fork` hold in this block.
    fn has(&self, fork: SpecId) -> bool {
        self.params.spec.includes(fork)
    }

    /// The header. It does not hash to the block's hash, and has no state root: see the module above.
    pub(super) fn header(&self) -> Header {
        let environment = self.params.block_of(self.block.slot);
        let outcomes = &self.block.outcomes;
        let inner = alloy_consensus::Header {
            parent_hash: self.params.block_hash(self.block.slot.0.saturating_sub(1)),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: environment.beneficiary,
            state_root: B256::ZERO,
            transactions_root: transactions_root(outcomes),
            receipts_root: self.receipts_root(),
            logs_bloom: outcomes.iter().fold(Bloom::ZERO, |bloom, record| bloom | bloom_of(&record.outcome)),
            difficulty: environment.difficulty,
            number: self.block.slot.0,
            gas_limit: environment.gas_limit,
            gas_used: outcomes.iter().map(|record| record.outcome.gas_used).sum(),
            timestamp: self.time,
            mix_hash: environment.randomness.unwrap_or_default(),
            nonce: B64::ZERO,
            base_fee_per_gas: self.has(SpecId::LONDON).then_some(environment.base_fee),
            withdrawals_root: self.has(SpecId::SHANGHAI).then_some(EMPTY_ROOT_HASH),
            blob_gas_used: environment.blob.map(|_| outcomes.iter().filter_map(blob_gas).sum()),
            excess_blob_gas: environment.blob.map(|blob| blob.excess_gas),
            parent_beacon_block_root: self.has(SpecId::CANCUN).then_some(B256::ZERO),
            requests_hash: self.has(SpecId::PRAGUE).then_some(EMPTY_REQUESTS_HASH),
            ..alloy_consensus::Header::default()
        };
        let size = self.size(&inner);
        Header { hash: self.hash(), inner, total_difficulty: None, size: Some(U256::from(size)) }
    }

    /// Bytes of the block as Ethereum writes it (RLP), with its header as it is shown and its transactions as their root has them.
    fn size(&self, header: &alloy_consensus::Header) -> usize {
        let transactions = self.block.outcomes.iter().map(|record| written_length(&raw(record))).sum();
        let withdrawals = if self.has(SpecId::SHANGHAI) { EMPTY_LIST_BYTES } else { 0 };
        prefixed_length(header.length() + prefixed_length(transactions) + EMPTY_LIST_BYTES + withdrawals)
    }

    /// The root of the receipts, as Ethereum computes it.
    fn receipts_root(&self) -> B256 {
        ordered_trie_root_with_encoder(&self.raw_receipts(), |bytes: &Bytes, out| out.extend_from_slice(bytes))
    }

    /// The receipts in bytes (EIP-2718); one of the protocol's own transactions is that of an old one behind its type.
    pub(super) fn raw_receipts(&self) -> Vec<Bytes> {
        let mut gas = 0;
        let receipt = |record: &OutcomeRecord| {
            gas += record.outcome.gas_used;
            let logs = record.outcome.logs.iter().cloned().map(Into::into).collect();
            let mut bytes = if record.bytes.is_empty() { vec![SYSTEM_TYPE_ID] } else { Vec::new() };
            envelope(&record.outcome, gas, logs).encode_2718(&mut bytes);
            bytes.into()
        };
        self.block.outcomes.iter().map(receipt).collect()
    }

    /// What it shows, in order, each with what stands before it.
    pub(super) fn entries(&self) -> impl Iterator<Item = EntryView<'_>> {
        let (mut gas_before, mut logs_before) = (0, 0);
        self.block.outcomes.iter().enumerate().map(move |(index, record)| {
            let entry = EntryView {
                params: self.params,
                slot: self.block.slot,
                time: self.time,
                index,
                gas_before,
                logs_before,
                record,
            };
            gas_before += record.outcome.gas_used;
            logs_before += record.outcome.logs.len();
            entry
        })
    }

    /// What it shows at `index`.
    pub(super) fn entry(&self, index: usize) -> Result<EntryView<'_>, ErrorObjectOwned> {
        self.entries().nth(index).ok_or_else(|| lost(self.block.slot, index))
    }
}

/// Wei per gas of blobs in `slot`: no slot is ever in excess, so it is always the least there is. None before Cancun.
pub(super) fn blob_price(params: &NetworkParams, slot: Slot) -> Option<u128> {
    let blob = params.block_of(slot).blob?;
    Some(fake_exponential(BLOB_TX_MIN_BLOB_GASPRICE, blob.excess_gas.into(), blob.update_fraction.into()))
}

/// The gas of the blobs that a transaction names.
pub(super) fn blob_gas(record: &OutcomeRecord) -> Option<u64> {
    if record.outcome.kind == EIP4844_TX_TYPE_ID { decode(&record.bytes).ok()?.blob_gas_used() } else { None }
}

/// Whom a transaction called; none where it created a contract, or is one of the protocol's own that calls nobody.
pub(super) fn target(record: &OutcomeRecord) -> Result<Option<Address>, ErrorObjectOwned> {
    match &record.called {
        Some(SystemTransaction::Call { target, .. }) => Ok(Some(*target)),
        _ if record.bytes.is_empty() => Ok(None),
        _ => Ok(decode(&record.bytes)?.to()),
    }
}

/// A transaction that is not in a block yet.
pub(super) fn pending(bytes: &[u8], sender: Address) -> Result<Value, ErrorObjectOwned> {
    let inner = decode(bytes)?;
    shown(&Transaction {
        effective_gas_price: Some(inner.max_fee_per_gas()),
        inner: Recovered::new_unchecked(inner, sender),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        block_timestamp: None,
    })
}

/// A transaction as JSON. One that nobody signed shows its sender, and a one beside it, where a signature is: libraries refuse what
/// stands there.
pub(super) fn shown(transaction: &Transaction<Envelope>) -> Result<Value, ErrorObjectOwned> {
    let mut value = to_value(transaction)?;
    if evm::named(transaction.inner.inner().signature()).is_some() {
        value["s"] = "0x1".into();
    }
    Ok(value)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Envelope, ErrorObjectOwned> {
    let broken = |error_: alloy_eips::eip2718::Eip2718Error| {
        error(INTERNAL_ERROR_CODE, format!("a recorded transaction does not decode: {error_}"))
    };
    Envelope::decode_2718_exact(bytes).map_err(broken)
}

/// The root of transactions, as Ethereum computes it.
fn transactions_root(outcomes: &[OutcomeRecord]) -> B256 {
    let transactions: Vec<Bytes> = outcomes.iter().map(raw).collect();
    ordered_trie_root_with_encoder(&transactions, |bytes: &Bytes, out| out.extend_from_slice(bytes))
}

/// A transaction in bytes (EIP-2718). Nobody signed one of the protocol's own, and no type of Ethereum's has its fields: behind its
/// type stands its hash, which binds all of it.
pub(super) fn raw(record: &OutcomeRecord) -> Bytes {
    if record.bytes.is_empty() {
        return [&[SYSTEM_TYPE_ID], record.transaction.as_slice()].concat().into();
    }
    record.bytes.clone().into()
}

/// Bytes of a transaction within a block: an old one is a list there, all others are text.
fn written_length(transaction: &Bytes) -> usize {
    let is_list = transaction.first().is_some_and(|first| *first >= EMPTY_LIST_CODE);
    if is_list { transaction.len() } else { prefixed_length(transaction.len()) }
}

/// Bytes of a list or a text of RLP, with the length that stands before it.
fn prefixed_length(length: usize) -> usize {
    length_of_length(length) + length
}

/// A transaction under way in a line, as `txpool_inspect` gives it.
pub(super) fn summary(bytes: &[u8]) -> Result<String, ErrorObjectOwned> {
    let transaction = decode(bytes)?;
    let target = transaction.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_string());
    let (value, gas, price) = (transaction.value(), transaction.gas_limit(), transaction.max_fee_per_gas());
    Ok(format!("{target}: {value} wei + {gas} gas × {price} wei"))
}

fn bloom_of(outcome: &Outcome) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in &outcome.logs {
        bloom.accrue_raw_log(log.address, &log.topics);
    }
    bloom
}

/// The receipt's consensus part, of the transaction's type.
pub(super) fn envelope<L>(outcome: &Outcome, cumulative_gas_used: u64, logs: Vec<L>) -> ReceiptEnvelope<L> {
    let status = (outcome.status == Status::Success).into();
    let receipt = Receipt { status, cumulative_gas_used, logs };
    let receipt = ReceiptWithBloom { receipt, logs_bloom: bloom_of(outcome) };
    match outcome.kind {
        1 => ReceiptEnvelope::Eip2930(receipt),
        2 => ReceiptEnvelope::Eip1559(receipt),
        3 => ReceiptEnvelope::Eip4844(receipt),
        4 => ReceiptEnvelope::Eip7702(receipt),
        _ => ReceiptEnvelope::Legacy(receipt),
    }
}

/// A transaction that nobody has signed, in bytes: with a signature of zeros, as geth gives it.
pub(super) fn unsigned_bytes(transaction: TypedTransaction) -> Vec<u8> {
    transaction.into_envelope(Signature::new(U256::ZERO, U256::ZERO, false)).encoded_2718()
}

/// A value as JSON.
pub(super) fn to_value<T: serde::Serialize>(value: &T) -> Result<Value, ErrorObjectOwned> {
    serde_json::to_value(value).map_err(|broken| error(INTERNAL_ERROR_CODE, broken.to_string()))
}

/// A quantity as JSON-RPC writes it.
pub(super) fn hex(number: u64) -> String {
    format!("{number:#x}")
}
