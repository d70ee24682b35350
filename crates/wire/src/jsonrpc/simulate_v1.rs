//! `eth_simulateV1`: blocks that never were, one after the other on a state, shown as if they had been.
//!
//! ```text
//! blockStateCalls -> plans: numbers ascend, gaps are empty blocks -> run on the state -> each shown like a block of this chain
//! ```
//!
//! As everywhere here a block's hash is that of its number, and a block may be as old as the one before it, since blocks are
//! shorter than a second. Transactions are shown with a signature of zeros, and their hashes are of that.
//! Source: execution-apis, `eth_simulateV1`, with its error codes; geth for the words.

use super::arguments::read;
use super::call::{accounts_of, block_of, call_of};
use super::chain::{Chain, RunFailure, SlotBlock, running};
use super::error::{Answer, LIMIT_CODE, REVERTED_CODE, SERVER_ERROR_CODE, error, invalid_params, revert_words};
use super::methods::serve;
use super::node::Node;
use super::view::{BlockView, Detail, hex, unsigned_bytes};
use crate::rejection::Rejection;
use crate::state::{LeafPlace, OutcomeRecord};
use alloy_consensus::{TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy, TypedTransaction};
use alloy_primitives::{TxKind, keccak256};
use alloy_rpc_types_eth::BlockId;
use alloy_rpc_types_eth::simulate::{MAX_SIMULATE_BLOCKS, SimBlock, SimulatePayload};
use evm::{
    BlockPlan, CallPrice, CallRequest, Checks, ExecuteError, Ground, Invalid, NetworkParams, SimulateError,
    SimulatedCall, Status, TRANSFERS_ADDRESS, Transfers, simulate_blocks,
};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::{Height, NetworkId, Slot};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most calls of one simulation.
pub(super) const SIMULATED_CALLS_COUNT_MAX: usize = 1_000;

const NUMBERS_CODE: i32 = -38_020;
const TIMES_CODE: i32 = -38_021;
const BLOCKS_CODE: i32 = -38_026;
const BLOCK_FULL_CODE: i32 = -38_015;
const HALTED_CODE: i32 = -32_015;

/// Adds the method.
pub(super) fn register<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    serve! { module: "eth_simulateV1" => simulate_v1, }
    Ok(())
}

impl<C: Chain> Node<C> {
    async fn simulate_v1(&self, params: Params<'static>) -> Answer<Vec<Value>> {
        let (payload, id): (SimulatePayload, Option<BlockId>) = read(&params)?;
        let params = self.chain.params().clone();
        let detail = if payload.return_full_transactions { Detail::Full } else { Detail::Hashes };
        let asked = (
            if payload.validation { Checks::AsTransactions } else { Checks::AsCalls },
            if payload.trace_transfers { Transfers::Logged } else { Transfers::Silent },
        );
        let wanted = wanted(payload.block_state_calls, &params)?;
        let moment = self.moment_of(id).await?;
        let run = running(move |ground, view| -> Result<Answer<_>, RunFailure> {
            let plans = match plans(&wanted, asked.0, ground) {
                Ok(plans) => plans,
                Err(refused) => return Ok(Err(refused)),
            };
            match simulate_blocks(ground, &plans, asked, view) {
                Ok(calls) => Ok(Ok((plans, calls))),
                Err(SimulateError::Execute { error: ExecuteError::Missing(missing) }) => {
                    Err(RunFailure::Missing(missing))
                }
                Err(error) => Ok(Err(refusal(error))),
            }
        });
        let (plans, calls) = self.chain.over(moment, run).await??;
        plans.iter().zip(&calls).map(|(plan, calls)| shown(&params, plan, calls, detail)).collect()
    }
}

/// The blocks that are wanted, none of which knows its number yet.
fn wanted(blocks: Vec<SimBlock>, params: &NetworkParams) -> Answer<Vec<BlockPlan>> {
    if blocks.is_empty() {
        return Err(invalid_params("empty input"));
    }
    if blocks.iter().map(|block| block.calls.len()).sum::<usize>() > SIMULATED_CALLS_COUNT_MAX {
        return Err(error(LIMIT_CODE, format!("at most {SIMULATED_CALLS_COUNT_MAX} calls are simulated at once")));
    }
    let plan = |block: SimBlock| {
        Ok(BlockPlan {
            slot: Slot(0),
            block: block_of(&block.block_overrides.unwrap_or_default())?,
            accounts: accounts_of(params, block.state_overrides.unwrap_or_default())?,
            calls: block.calls.into_iter().map(|call| call_of(call, params.network)).collect::<Answer<_>>()?,
        })
    };
    blocks.into_iter().map(plan).collect()
}

/// The blocks after the ground's, with empty ones between them where numbers leave gaps.
fn plans(wanted: &[BlockPlan], checks: Checks, ground: &Ground<'_>) -> Answer<Vec<BlockPlan>> {
    let (mut number, mut time) = (ground.number(), ground.timestamp());
    let mut plans = Vec::new();
    for block in wanted {
        let next = block.block.number.unwrap_or(number.saturating_add(1));
        if next <= number {
            return Err(error(NUMBERS_CODE, format!("block numbers must be in order: {next} <= {number}")));
        }
        if next - number > MAX_SIMULATE_BLOCKS.saturating_sub(plans.len() as u64) {
            return Err(error(BLOCKS_CODE, format!("too many blocks: at most {MAX_SIMULATE_BLOCKS} are simulated")));
        }
        for gap in number + 1..next {
            plans.push(BlockPlan {
                slot: Slot(gap),
                block: evm::BlockOverrides::default(),
                accounts: BTreeMap::new(),
                calls: Vec::new(),
            });
        }
        number = next;
        let mut plan = BlockPlan { slot: Slot(number), ..block.clone() };
        plan.block.number = None;
        plans.push(plan);
    }
    keep_going(&mut plans);
    for plan in &mut plans {
        let own = ground.timestamp_of(plan.slot).max(time);
        let wanted = plan.block.timestamp.unwrap_or(own);
        if wanted < time {
            return Err(error(TIMES_CODE, format!("block timestamps must be in order: {wanted} < {time}")));
        }
        time = wanted;
        plan.block.timestamp = Some(time);
        if checks == Checks::AsCalls {
            // Calls that need not pay for gas see no price of it, and their block shows none.
            plan.block.base_fee.get_or_insert(0);
        }
    }
    Ok(plans)
}

/// A block has the gas limit and the beneficiary of the one before it, unless it says otherwise: as geth makes headers.
fn keep_going(plans: &mut [BlockPlan]) {
    let (mut gas_limit, mut beneficiary) = (None, None);
    for plan in plans {
        gas_limit = plan.block.gas_limit.or(gas_limit);
        beneficiary = plan.block.beneficiary.or(beneficiary);
        (plan.block.gas_limit, plan.block.beneficiary) = (gas_limit, beneficiary);
    }
}

/// The specification's code for a call that cannot be in its block.
fn refusal(failure: SimulateError) -> ErrorObjectOwned {
    let failure = match failure {
        SimulateError::Execute { error } => error,
        full @ SimulateError::BlockFull { .. } => return error(BLOCK_FULL_CODE, full.to_string()),
        SimulateError::GasGone => return error(LIMIT_CODE, failure.to_string()),
    };
    let code = match &failure {
        ExecuteError::Invalid { reason, .. } => match reason {
            Invalid::NonceTooLow { .. } => -38_010,
            Invalid::NonceTooHigh { .. } => -38_011,
            Invalid::PriceBelowBaseFee { .. } => -38_012,
            Invalid::IntrinsicGas { .. } => -38_013,
            Invalid::Funds { .. } => -38_014,
            Invalid::GasLimit { .. } => BLOCK_FULL_CODE,
            Invalid::SenderHasCode => -38_024,
            Invalid::PriorityAbovePrice | Invalid::Rule { .. } => SERVER_ERROR_CODE,
        },
        _ => return Rejection::from(failure).into(),
    };
    let words: ErrorObjectOwned = Rejection::from(failure).into();
    error(code, words.message())
}

/// A block that never was, as a block, with what became of its calls.
fn shown(params: &NetworkParams, plan: &BlockPlan, calls: &[SimulatedCall], detail: Detail) -> Answer<Value> {
    let records = plan.calls.iter().zip(calls).zip(0..);
    let outcomes = records.map(|((call, simulated), index)| record(params, plan, call, (simulated, index))).collect();
    let told = SlotBlock { outcomes, ..SlotBlock::empty(plan.slot) };
    let block = without_transfers(&told);
    let time = params.start_of(plan.slot).seconds();
    let mut value = BlockView { params, block: &block, time }.block(detail)?;
    overwrite(&mut value, plan);
    let view = BlockView { params, block: &told, time };
    let results = calls.iter().enumerate().map(|(index, call)| result(&view, index, call, plan));
    value["calls"] = results.collect::<Answer<Vec<Value>>>()?.into();
    Ok(value)
}

/// The block as its header has it: wei that moved is told with the calls, and no contract has logged it.
fn without_transfers(told: &SlotBlock) -> SlotBlock {
    let mut block = told.clone();
    for record in &mut block.outcomes {
        record.outcome.logs.retain(|log| log.address != TRANSFERS_ADDRESS);
    }
    block
}

/// Writes what is otherwise into a block's header.
fn overwrite(value: &mut Value, plan: &BlockPlan) {
    let block = &plan.block;
    let fields = [
        ("timestamp", block.timestamp.map(hex)),
        ("gasLimit", block.gas_limit.map(hex)),
        ("baseFeePerGas", block.base_fee.map(hex)),
        ("miner", block.beneficiary.map(|address| address.to_string().to_lowercase())),
        ("mixHash", block.randomness.map(|hash| hash.to_string())),
    ];
    for (name, wanted) in fields {
        if let Some(wanted) = wanted {
            value[name] = wanted.into();
        }
    }
}

fn result(view: &BlockView<'_>, index: usize, call: &SimulatedCall, plan: &BlockPlan) -> Answer<Value> {
    let outcome = &call.answered.outcome;
    let mut logs: Vec<_> = view.entry(index)?.logs().collect();
    for log in &mut logs {
        log.block_timestamp = plan.block.timestamp;
    }
    let mut value = json!({
        "returnData": outcome.output.0, "logs": logs, "gasUsed": hex(outcome.gas_used), "maxUsedGas": hex(call.gas_most),
        "status": hex(u64::from(outcome.status == Status::Success)),
    });
    match (outcome.status, &call.answered.halt) {
        (Status::Success, _) => {}
        (_, Some(words)) => value["error"] = json!({ "code": HALTED_CODE, "message": words }),
        (_, None) => {
            let (message, data) = (revert_words(&outcome.output), &outcome.output.0);
            value["error"] = json!({ "code": REVERTED_CODE, "message": message, "data": data });
        }
    }
    Ok(value)
}

/// A call as the record of a transaction that never was.
fn record(
    params: &NetworkParams,
    plan: &BlockPlan,
    call: &CallRequest,
    (simulated, index): (&SimulatedCall, u32),
) -> OutcomeRecord {
    let transaction = unsigned(call, simulated, params.network);
    let (kind, bytes) = (transaction.tx_type() as u8, unsigned_bytes(transaction));
    let base_fee = u128::from(plan.block.base_fee.unwrap_or(params.base_fee));
    let (max, priority) = call.fees();
    let mut outcome = simulated.answered.outcome.clone();
    outcome.kind = kind;
    outcome.gas_price = max.min(base_fee.saturating_add(priority));
    OutcomeRecord {
        transaction: keccak256(&bytes),
        bytes: bytes.into(),
        sender: call.from,
        outcome,
        number: plan.slot.0,
        shown: plan.slot,
        height: Height(0),
        index,
        time: params.start_of(plan.slot),
        leaf: LeafPlace { height: Height(0), index },
        attempt: None,
        participants: Vec::new(),
        called: None,
    }
}

/// The transaction that a call would be.
fn unsigned(call: &CallRequest, simulated: &SimulatedCall, network: NetworkId) -> TypedTransaction {
    let (chain_id, nonce, gas_limit) = (network.0, simulated.nonce, simulated.gas_limit);
    let (max_fee_per_gas, max_priority_fee_per_gas) = call.fees();
    let (value, input, access_list) = (call.value, call.input.0.clone(), call.access_list.clone());
    let (to, kind) = (call.to.unwrap_or_default(), call.to.map_or(TxKind::Create, TxKind::Call));
    if !call.authorizations.is_empty() {
        let authorization_list = call.authorizations.clone();
        return TypedTransaction::Eip7702(TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            input,
            access_list,
            authorization_list,
        });
    }
    if !call.blob_hashes.is_empty() {
        let blob_versioned_hashes = call.blob_hashes.clone();
        return TypedTransaction::from(TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            input,
            access_list,
            blob_versioned_hashes,
            max_fee_per_blob_gas: call.blob_price,
        });
    }
    match call.price {
        CallPrice::Legacy(gas_price) if access_list.is_empty() => TypedTransaction::Legacy(TxLegacy {
            chain_id: Some(chain_id),
            nonce,
            gas_price,
            gas_limit,
            to: kind,
            value,
            input,
        }),
        CallPrice::Legacy(gas_price) => TypedTransaction::Eip2930(TxEip2930 {
            chain_id,
            nonce,
            gas_price,
            gas_limit,
            to: kind,
            value,
            access_list,
            input,
        }),
        CallPrice::Free | CallPrice::Dynamic { .. } => TypedTransaction::Eip1559(TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: kind,
            value,
            input,
            access_list,
        }),
    }
}
