//! What a call would do: `eth_call`, `eth_estimateGas` and `eth_createAccessList`, over a view. Nothing is signed or changed.
//!
//! Source: geth's `internal/ethapi`: what is checked, in which order, and the words.

use crate::bench::{Bench, Rules};
use crate::execute::finished;
use crate::halt::words;
use crate::{Data, Environment, ExecuteError, Ground, Invalid, NetworkParams, Outcome, Overrides, Placement, View};
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, TxKind, U256};
use revm::context::TxEnv;
use revm::context_interface::TransactionType;
use revm::context_interface::either::Either;
use revm::context_interface::result::{ExecutionResult, HaltReason};
use revm_inspectors::access_list::AccessListInspector;

/// The most gas that a call may use: what a node answers for nothing. EIP-7825 bounds transactions, not calls.
pub const CALL_GAS_MAX: u64 = 50_000_000;

/// The most runs that an estimate takes.
pub const ESTIMATE_RUNS_MAX: usize = 32;

/// The most runs that an access list takes: each may read what the one before made it read.
pub const ACCESS_LIST_RUNS_MAX: usize = 8;

/// What a call pays for gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallPrice {
    /// Nothing: GASPRICE is zero, and so is BASEFEE, unless it is overridden.
    #[default]
    Free,
    /// Wei per gas, as before EIP-1559.
    Legacy(u128),
    /// As from EIP-1559 on.
    Dynamic {
        /// The most wei per gas.
        max: u128,
        /// Of it for the beneficiary.
        priority: u128,
    },
}

impl CallPrice {
    /// The most wei per gas.
    fn max(self) -> u128 {
        match self {
            Self::Free => 0,
            Self::Legacy(max) | Self::Dynamic { max, .. } => max,
        }
    }
}

/// A call as a wallet describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallRequest {
    /// CALLER and ORIGIN; may be anyone, also a contract.
    pub from: Address,
    /// The called account; none creates a contract.
    pub to: Option<Address>,
    /// Wei sent along, which the caller must have.
    pub value: U256,
    /// Call data, or init code.
    pub input: Data,
    /// Gas it may use; none for [`CALL_GAS_MAX`], which bounds it in any case.
    pub gas_limit: Option<u64>,
    /// What it pays for gas; the caller must have it.
    pub price: CallPrice,
    /// Accounts and slots that it pays for in advance (EIP-2930).
    pub access_list: AccessList,
    /// Who borrows code from whom while it runs (EIP-7702); one that is not valid is passed over, as in a transaction.
    pub authorizations: Vec<SignedAuthorization>,
    /// The blobs it names (EIP-4844).
    pub blob_hashes: Vec<B256>,
    /// The most wei per gas of blobs; zero for nothing.
    pub blob_price: u128,
    /// Its sender's nonce; no call is asked for it but where it is checked like a transaction ([`crate::Checks`]).
    pub nonce: Option<u64>,
    /// What it finds otherwise.
    pub overrides: Overrides,
}

/// Runs `call` over `view` as the first of its slot or block. No nonce is asked for.
pub fn simulate<V: View + ?Sized>(
    params: &NetworkParams,
    placement: &Placement,
    environment: &Environment,
    call: &CallRequest,
    view: &V,
) -> Result<Outcome, ExecuteError> {
    let ground = Ground::new(params, placement, environment.clone())?;
    Ok(answer(&ground, call, &view)?.outcome)
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Status, gas, output and logs.
    pub outcome: Outcome,
    /// Why it halted, in geth's words, if it did.
    pub halt: Option<String>,
}

/// Runs `call` over `view`, and says why it halted if it does.
pub fn answer(ground: &Ground<'_>, call: &CallRequest, view: &dyn View) -> Result<Answered, ExecuteError> {
    let mut bench = prepared(ground, call, view)?;
    let tx = tx_env(ground, call, gas_limit(call, CALL_GAS_MAX));
    Ok(answered(bench.run(&tx, Rules::Call)?.result))
}

/// What `slot` of the account at `address` holds over `view`, as whoever runs in the block finds it.
pub fn storage_at(
    ground: &Ground<'_>,
    (address, slot): (Address, U256),
    view: &dyn View,
) -> Result<U256, ExecuteError> {
    Bench::new(ground, view).storage(address, slot)
}

/// What an estimate comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Estimate {
    /// The least gas limit, within a hundredth, that the call succeeds with.
    Enough(u64),
    /// It does not succeed with all the gas that it can have.
    Fails(Answered),
    /// It runs out of all the gas that its limit, the network or its sender's funds allow.
    Exceeds {
        /// How much that is.
        allowance: u64,
    },
}

/// The least gas limit, within a hundredth, that `call` succeeds with, up to `most`.
pub fn estimate(ground: &Ground<'_>, call: &CallRequest, most: u64, view: &dyn View) -> Result<Estimate, ExecuteError> {
    let mut bench = prepared(ground, call, view)?;
    let most = gas_limit(call, most).min(affordable(&mut bench, call)?);
    let mut run = |gas_limit| bench.run(&tx_env(ground, call, gas_limit), Rules::Call);
    let first = run(most)?.result;
    if is_out_of_gas(&first) {
        return Ok(Estimate::Exceeds { allowance: most });
    }
    if !first.is_success() {
        return Ok(Estimate::Fails(answered(first)));
    }
    // Refunds come at the end and calls keep back a 64th, so what was used need not be enough.
    let (mut low, mut high) = (first.tx_gas_used().saturating_sub(1), most.max(first.tx_gas_used()));
    let mut next = first.tx_gas_used();
    for _ in 0..ESTIMATE_RUNS_MAX {
        if high <= low + 1 || (high - low) * 100 <= high {
            break;
        }
        match run(next) {
            Ok(ran) if ran.result.is_success() => high = next,
            // Too little gas even to start is too little too.
            Ok(_) | Err(ExecuteError::Invalid { reason: Invalid::IntrinsicGas { .. }, .. }) => low = next,
            Err(error) => return Err(error),
        }
        next = (low + high).div_ceil(2).min(low.saturating_mul(2).max(low + 1));
    }
    Ok(Estimate::Enough(high))
}

/// An access list for a call, and what the call does with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it touches, but for what is warm anyway.
    pub access_list: AccessList,
    /// Gas it uses with the list.
    pub gas_used: u64,
    /// Why it does not succeed, in geth's words, if it does not.
    pub error: Option<String>,
}

/// The accounts and slots that `call` touches, found by running it until a list changes nothing more.
pub fn access_list(ground: &Ground<'_>, call: &CallRequest, view: &dyn View) -> Result<Listed, ExecuteError> {
    let mut bench = prepared(ground, call, view)?;
    let mut call = call.clone();
    let mut listed = list_once(&mut bench, &call)?;
    for _ in 1..ACCESS_LIST_RUNS_MAX {
        if listed.access_list == call.access_list {
            break;
        }
        call.access_list = listed.access_list;
        listed = list_once(&mut bench, &call)?;
    }
    Ok(listed)
}

fn list_once(bench: &mut Bench<'_>, call: &CallRequest) -> Result<Listed, ExecuteError> {
    let mut inspector = AccessListInspector::new(call.access_list.clone());
    let tx = tx_env(bench.ground(), call, gas_limit(call, CALL_GAS_MAX));
    let result = bench.watch(&tx, Rules::Call, &mut inspector)?.result;
    let gas_used = result.tx_gas_used();
    let error = match &result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { .. } => Some("execution reverted".to_owned()),
        ExecutionResult::Halt { reason, .. } => Some(words(reason)),
    };
    Ok(Listed { access_list: inspector.into_access_list(), gas_used, error })
}

/// A bench on `view` with all that `call` wants otherwise.
pub(crate) fn prepared<'a>(
    ground: &'a Ground<'a>,
    call: &CallRequest,
    view: &'a dyn View,
) -> Result<Bench<'a>, ExecuteError> {
    let mut bench = Bench::new(ground, view);
    let mut env = call.overrides.block.over(&ground.block);
    if call.price.max() == 0 && call.overrides.block.base_fee.is_none() {
        env.basefee = 0;
    }
    if let Some(blob) = env.blob_excess_gas_and_price.as_mut().filter(|_| call.pays_nothing_for_blobs()) {
        blob.blob_gasprice = 0;
    }
    bench.block = env;
    for (address, wanted) in &call.overrides.accounts {
        bench.replace(*address, wanted)?;
    }
    Ok(bench)
}

impl CallRequest {
    fn pays_nothing_for_blobs(&self) -> bool {
        !self.blob_hashes.is_empty() && self.blob_price == 0
    }
}

/// The gas that the sender can pay for, at the call's price.
fn affordable(bench: &mut Bench<'_>, call: &CallRequest) -> Result<u64, ExecuteError> {
    let price = call.price.max();
    if price == 0 {
        return Ok(u64::MAX);
    }
    let balance = bench.account(call.from)?.map_or(U256::ZERO, |account| account.balance);
    let Some(left) = balance.checked_sub(call.value) else {
        let reason = Invalid::Funds { required: call.value, balance };
        return Err(ExecuteError::Invalid { index: 0, sender: call.from, reason });
    };
    Ok(u64::try_from(left / U256::from(price)).unwrap_or(u64::MAX))
}

pub(crate) fn gas_limit(call: &CallRequest, most: u64) -> u64 {
    call.gas_limit.map_or(most, |limit| limit.min(most))
}

fn is_out_of_gas(result: &ExecutionResult<HaltReason>) -> bool {
    matches!(result, ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. })
}

/// How a run of a call ended.
pub(crate) fn answered(result: ExecutionResult<HaltReason>) -> Answered {
    let halt = if let ExecutionResult::Halt { reason, .. } = &result { Some(words(reason)) } else { None };
    Answered { outcome: finished(result), halt }
}

/// The call as the cheapest type of transaction that can carry it.
pub(crate) fn tx_env(ground: &Ground<'_>, call: &CallRequest, gas_limit: u64) -> TxEnv {
    let (gas_price, gas_priority_fee) = match call.price {
        CallPrice::Free => (0, None),
        CallPrice::Legacy(price) => (price, None),
        CallPrice::Dynamic { max, priority } => (max, Some(priority)),
    };
    TxEnv {
        tx_type: tx_type(call).into(),
        caller: call.from,
        kind: call.to.map_or(TxKind::Create, TxKind::Call),
        value: call.value,
        data: call.input.0.clone(),
        gas_limit,
        gas_price,
        gas_priority_fee,
        chain_id: Some(ground.params.network.0),
        access_list: call.access_list.clone(),
        authorization_list: call.authorizations.iter().cloned().map(Either::Left).collect(),
        blob_hashes: call.blob_hashes.clone(),
        max_fee_per_blob_gas: call.blob_price,
        ..TxEnv::default()
    }
}

fn tx_type(call: &CallRequest) -> TransactionType {
    match (call.authorizations.is_empty(), call.blob_hashes.is_empty(), call.price) {
        (false, ..) => TransactionType::Eip7702,
        (true, false, _) => TransactionType::Eip4844,
        (true, true, CallPrice::Dynamic { .. }) => TransactionType::Eip1559,
        (true, true, _) if call.access_list.is_empty() => TransactionType::Legacy,
        (true, true, _) => TransactionType::Eip2930,
    }
}
