//! Traces, transactions and receipts in the shapes that Otterscan takes.

use super::paid;
use crate::jsonrpc::chain::SlotBlock;
use alloy_primitives::{Address, Bytes, U256};
use alloy_rpc_types_trace::parity::{Action, CallType, CreationMethod, TraceOutput, TransactionTrace};
use evm::{Outcome, Status};
use serde_json::{Value, json};

/// Ether that moved, and what was created or destroyed within a transaction; nothing else, and not the transaction itself.
pub(super) fn operation(trace: &TransactionTrace) -> Option<Value> {
    if trace.trace_address.is_empty() || trace.error.is_some() {
        return None;
    }
    let told = |kind: u8, from: Address, to: Address, value: U256| {
        Some(json!({ "type": kind, "from": from, "to": to, "value": value }))
    };
    match &trace.action {
        Action::Call(call) if call.call_type == CallType::Call && !call.value.is_zero() => {
            told(0, call.from, call.to, call.value)
        }
        Action::Selfdestruct(end) => told(1, end.address, end.refund_address, end.balance),
        Action::Create(create) => {
            let kind = if create.creation_method == CreationMethod::Create2 { 3 } else { 2 };
            told(kind, create.from, created(trace)?, create.value)
        }
        Action::Call(_) | Action::Reward(_) => None,
    }
}

/// One call of a transaction, with how deep it is within it.
pub(super) fn entry(trace: &TransactionTrace) -> Value {
    let depth = trace.trace_address.len();
    let output = match &trace.result {
        Some(TraceOutput::Call(call)) => call.output.clone(),
        Some(TraceOutput::Create(create)) => create.code.clone(),
        None => Bytes::new(),
    };
    match &trace.action {
        Action::Call(call) => {
            let moves = matches!(call.call_type, CallType::Call | CallType::CallCode);
            json!({
                "type": call.call_type.to_string(), "depth": depth, "from": call.from, "to": call.to,
                "value": moves.then_some(call.value), "input": call.input, "output": output,
            })
        }
        Action::Create(create) => json!({
            "type": if create.creation_method == CreationMethod::Create2 { "CREATE2" } else { "CREATE" },
            "depth": depth, "from": create.from, "to": created(trace), "value": create.value, "input": create.init,
            "output": output,
        }),
        Action::Selfdestruct(end) => json!({
            "type": "SELFDESTRUCT", "depth": depth, "from": end.address, "to": end.refund_address,
            "value": end.balance, "input": "0x", "output": "0x",
        }),
        Action::Reward(reward) => json!({
            "type": "REWARD", "depth": depth, "from": null, "to": reward.author, "value": reward.value,
            "input": "0x", "output": "0x",
        }),
    }
}

/// Whether a trace is of the creation of `address`.
pub(super) fn creates(trace: &TransactionTrace, address: Address) -> bool {
    trace.error.is_none() && created(trace) == Some(address)
}

/// Who created what a trace is of the creation of.
pub(super) fn creator(trace: &TransactionTrace) -> Option<Address> {
    if let Action::Create(create) = &trace.action { Some(create.from) } else { None }
}

fn created(trace: &TransactionTrace) -> Option<Address> {
    if let Some(TraceOutput::Create(create)) = &trace.result { Some(create.address) } else { None }
}

/// What a failed transaction gave back.
pub(super) fn failure(outcome: &Outcome) -> Bytes {
    if outcome.status == Status::Success { Bytes::new() } else { outcome.output.0.clone() }
}

/// What a block's transactions paid together.
pub(super) fn fees(block: &SlotBlock) -> U256 {
    let paid = |record: &crate::state::OutcomeRecord| paid(record.outcome.gas_used, record.outcome.gas_price);
    block.outcomes.iter().map(paid).fold(U256::ZERO, U256::saturating_add)
}

/// Takes fields out of an object.
pub(super) fn without(value: &mut Value, names: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        for name in names {
            fields.remove(*name);
        }
    }
}

/// A transaction of which only the selector of its input is left.
pub(super) fn cut_input(mut transaction: Value) -> Value {
    const SELECTOR_CHARACTERS: usize = 2 + 2 * 4;
    if let Some(cut) = transaction["input"].as_str().and_then(|input| input.get(..SELECTOR_CHARACTERS)) {
        transaction["input"] = cut.to_owned().into();
    }
    transaction
}

/// A receipt without its logs.
pub(super) fn without_logs(mut receipt: Value) -> Value {
    (receipt["logs"], receipt["logsBloom"]) = (Value::Null, Value::Null);
    receipt
}
