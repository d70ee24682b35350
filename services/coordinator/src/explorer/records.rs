//! One outcome as JSON: in a line of a list, or with all that its transaction says.

use super::Explorer;
use alloy_consensus::{EthereumTxEnvelope, Transaction, TxEip4844};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, U256, hex};
use evm::{Log, Status};
use primitives::Slot;
use serde_json::{Value, json};
use wire::state::OutcomeRecord;

/// Most bytes of call data or output that are told; the rest is in `eth_getTransactionByHash` and the trace.
const BYTES_TOLD_COUNT_MAX: usize = 16 << 10;

/// Most logs of one transaction that are told.
pub(super) const LOGS_TOLD_COUNT_MAX: usize = 256;

type Envelope = EthereumTxEnvelope<TxEip4844>;

/// What was signed.
pub(super) fn signed(bytes: &[u8]) -> Option<Envelope> {
    if bytes.is_empty() { None } else { Envelope::decode_2718_exact(bytes).ok() }
}

/// Bytes in hex, cut to what is told.
pub(super) fn told(bytes: &[u8]) -> String {
    hex::encode_prefixed(&bytes[..bytes.len().min(BYTES_TOLD_COUNT_MAX)])
}

/// Whom the first bytes of call data name: a function's selector.
fn selector(input: &[u8]) -> Option<String> {
    input.get(..4).map(hex::encode_prefixed)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Success => "success",
        Status::Reverted => "reverted",
        Status::Halted => "halted",
    }
}

/// An outcome in a line.
pub(super) fn line(record: &OutcomeRecord) -> Value {
    let signed = signed(&record.bytes);
    let call = signed.as_ref();
    json!({
        "hash": record.transaction,
        "kind": if call.is_some() { "signed" } else { "protocol" },
        "from": record.sender,
        "to": call.and_then(Transaction::to),
        "created": record.outcome.created,
        "value": call.map_or(U256::ZERO, Transaction::value).to_string(),
        "selector": call.and_then(|call| selector(call.input())),
        "status": status(record.outcome.status),
        "gasUsed": record.outcome.gas_used,
        "block": record.shown.0,
        "ranAt": record.number,
        "time": record.time.0,
        "shards": record.participants.iter().map(|shard| shard.0).collect::<Vec<_>>(),
        "attempt": record.attempt.map(|attempt| attempt.0.to_string()),
        "logsCount": record.outcome.logs.len(),
    })
}

impl Explorer {
    /// With everything.
    pub(super) fn whole(&self, record: &OutcomeRecord, block: Slot, index: usize) -> Value {
        let signed = signed(&record.bytes);
        let mut told_of = line(record);
        let outcome = &record.outcome;
        let home = self.node.network.placement.shard_of(record.sender);
        told_of["block"] = block.0.into();
        told_of["index"] = index.into();
        told_of["home"] = home.0.into();
        told_of["shardBlock"] = record.height.0.into();
        told_of["leaf"] = json!({ "height": record.leaf.height.0, "index": record.leaf.index });
        told_of["gasPrice"] = outcome.gas_price.to_string().into();
        told_of["output"] = told(&outcome.output).into();
        told_of["outputBytes"] = outcome.output.len().into();
        told_of["logs"] = outcome.logs.iter().take(LOGS_TOLD_COUNT_MAX).map(|log| self.log(log)).collect();
        if let Some(call) = signed {
            self.add_call(&mut told_of, &call);
        }
        told_of
    }

    /// What was signed, before it ran.
    pub(super) fn pending(&self, bytes: &[u8], sender: Address) -> Value {
        let mut told_of = json!({ "kind": "signed", "from": sender, "home": self.shard_of(sender) });
        if let Some(call) = signed(bytes) {
            told_of["to"] = json!(call.to());
            told_of["value"] = call.value().to_string().into();
            told_of["selector"] = json!(selector(call.input()));
            self.add_call(&mut told_of, &call);
        }
        told_of
    }

    fn add_call(&self, told_of: &mut Value, call: &Envelope) {
        told_of["nonce"] = call.nonce().into();
        told_of["gasLimit"] = call.gas_limit().into();
        told_of["maxFeePerGas"] = call.max_fee_per_gas().to_string().into();
        told_of["input"] = told(call.input()).into();
        told_of["inputBytes"] = call.input().len().into();
        told_of["toShard"] = json!(call.to().map(|to| self.shard_of(to)));
    }

    fn log(&self, log: &Log) -> Value {
        json!({
            "address": log.address,
            "shard": self.shard_of(log.address),
            "topics": log.topics,
            "data": told(&log.data),
            "dataBytes": log.data.len(),
        })
    }

    /// Which shard an address is on: a mailbox on its own.
    pub(super) fn shard_of(&self, address: Address) -> u32 {
        self.node.network.placement.shard_of(address).0
    }
}
