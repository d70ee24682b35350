//! One transaction of a closed slot, with what has to be known of those before it to tell it: its place, their gas, their logs.
//!
//! A busy network's block has a thousand transactions: who asks for one of them, or for its logs, need not have all of them read.
//! Knows nothing of where blocks are kept.

use super::chain::SlotBlock;
use super::error::error;
use super::view::{SYSTEM_TYPE, blob_gas, blob_price, decode, envelope, hex, raw, shown, target, to_value};
use crate::state::OutcomeRecord;
use alloy_consensus::Transaction as _;
use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::{Log, Transaction, TransactionReceipt};
use evm::{NetworkParams, SystemTransaction};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::INTERNAL_ERROR_CODE;
use primitives::Slot;
use serde_json::{Value, json};

/// A transaction of a closed slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The slot that shows it.
    pub slot: Slot,
    /// Its place among what the slot shows.
    pub index: usize,
    /// The gas that those before it used.
    pub gas_before: u64,
    /// How many logs those before it wrote.
    pub logs_before: usize,
    /// What it did.
    pub record: OutcomeRecord,
}

impl Entry {
    /// Everything that `block` shows, in order.
    pub fn all(block: &SlotBlock) -> impl Iterator<Item = Self> {
        let (mut gas_before, mut logs_before) = (0, 0);
        block.outcomes.iter().enumerate().map(move |(index, record)| {
            let entry = Self { slot: block.slot, index, gas_before, logs_before, record: record.clone() };
            gas_before += record.outcome.gas_used;
            logs_before += record.outcome.logs.len();
            entry
        })
    }

    pub(super) fn view<'a>(&'a self, params: &'a NetworkParams, time: u64) -> EntryView<'a> {
        EntryView {
            params,
            slot: self.slot,
            time,
            index: self.index,
            gas_before: self.gas_before,
            logs_before: self.logs_before,
            record: &self.record,
        }
    }
}

/// The same, seen as Ethereum tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryView<'a> {
    pub(super) params: &'a NetworkParams,
    pub(super) slot: Slot,
    /// What time it is in the slot, in seconds.
    pub(super) time: u64,
    pub(super) index: usize,
    pub(super) gas_before: u64,
    pub(super) logs_before: usize,
    pub(super) record: &'a OutcomeRecord,
}

impl EntryView<'_> {
    fn block_hash(&self) -> B256 {
        self.params.block_hash(self.slot.0)
    }

    /// In bytes.
    pub(super) fn raw(&self) -> Bytes {
        raw(self.record)
    }

    /// With all fields.
    pub(super) fn transaction(&self) -> Result<Value, ErrorObjectOwned> {
        if self.record.bytes.is_empty() {
            return Ok(self.system_transaction());
        }
        let transaction = Transaction {
            inner: Recovered::new_unchecked(decode(&self.record.bytes)?, self.record.sender),
            block_hash: Some(self.block_hash()),
            block_number: Some(self.slot.0),
            transaction_index: Some(self.index as u64),
            effective_gas_price: Some(self.record.outcome.gas_price),
            block_timestamp: Some(self.time),
        };
        shown(&transaction)
    }

    /// A transaction that nobody signed: the call that it is. One that calls nobody, as on a network that replays another chain's
    /// blocks, has nothing to show.
    fn system_transaction(&self) -> Value {
        let (to, value, gas, input) = match &self.record.called {
            Some(SystemTransaction::Call { target, value, gas_limit, input, .. }) => {
                (Some(*target), *value, *gas_limit, input.0.clone())
            }
            _ => (None, U256::ZERO, self.record.outcome.gas_used, Bytes::new()),
        };
        json!({
            "type": SYSTEM_TYPE, "hash": self.record.transaction, "from": self.record.sender, "to": to,
            "blockHash": self.block_hash(), "blockNumber": hex(self.slot.0), "transactionIndex": hex(self.index as u64),
            "gas": hex(gas), "gasPrice": "0x0", "value": value, "nonce": "0x0", "input": input,
            "chainId": hex(self.params.network.0), "v": "0x0", "r": "0x0", "s": "0x0",
        })
    }

    /// Its receipt.
    pub(super) fn receipt(&self) -> Result<Value, ErrorObjectOwned> {
        let outcome = &self.record.outcome;
        let to = target(self.record)?;
        let receipt = TransactionReceipt {
            inner: envelope(outcome, self.gas_before + outcome.gas_used, self.logs().collect()),
            transaction_hash: self.record.transaction,
            transaction_index: Some(self.index as u64),
            block_hash: Some(self.block_hash()),
            block_number: Some(self.slot.0),
            gas_used: outcome.gas_used,
            effective_gas_price: outcome.gas_price,
            blob_gas_used: blob_gas(self.record),
            blob_gas_price: blob_gas(self.record).and_then(|_| blob_price(self.params, self.slot)),
            from: self.record.sender,
            to,
            contract_address: contract(self.record, to)?,
        };
        let mut value = to_value(&receipt)?;
        if self.record.bytes.is_empty() {
            value["type"] = SYSTEM_TYPE.into();
        }
        if let Some(number) = self.ran_before() {
            value["ranAtBlock"] = hex(number).into();
        }
        Ok(value)
    }

    /// The slot that it ran at, where that is not this one: its decision was late.
    fn ran_before(&self) -> Option<u64> {
        let is_late = self.params.environments.has_slots() && self.record.number != self.slot.0;
        is_late.then_some(self.record.number)
    }

    /// Its logs, numbered within the block.
    pub(super) fn logs(&self) -> impl Iterator<Item = Log> {
        self.logs_where(|_, _| true)
    }

    /// Those of its logs of which address and topics are wanted, numbered within the block.
    pub(super) fn logs_where(&self, is_wanted: impl Fn(Address, &[B256]) -> bool) -> impl Iterator<Item = Log> {
        let logs = (self.logs_before..).zip(&self.record.outcome.logs);
        let wanted = logs.filter(move |(_, log)| is_wanted(log.address, &log.topics));
        wanted.map(|(number, log)| Log {
            inner: log.clone().into(),
            block_hash: Some(self.block_hash()),
            block_number: Some(self.slot.0),
            block_timestamp: Some(self.time),
            transaction_hash: Some(self.record.transaction),
            transaction_index: Some(self.index as u64),
            log_index: Some(number as u64),
            removed: false,
        })
    }
}

/// The contract that a transaction created, or would have created had it not failed, as geth tells it.
fn contract(record: &OutcomeRecord, to: Option<Address>) -> Result<Option<Address>, ErrorObjectOwned> {
    if to.is_some() || record.bytes.is_empty() {
        return Ok(record.outcome.created);
    }
    Ok(Some(record.sender.create(decode(&record.bytes)?.nonce())))
}

/// A block lacks what it should show.
pub(super) fn lost(slot: Slot, index: usize) -> ErrorObjectOwned {
    error(INTERNAL_ERROR_CODE, format!("block {slot} has no transaction {index}"))
}
