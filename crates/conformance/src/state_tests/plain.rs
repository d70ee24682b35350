//! One plain revm: what a subtest comes to with nothing sharded.
//!
//! It takes the transaction from the test's section, not from its bytes, and shares nothing with the shards' execution but
//! revm itself: its own database, its own environment, its own way of applying what changed.

use crate::state_tests::case::{Case, block_hash};
use crate::state_tests::refusal::Kind;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use evm::{AccountState, BlockEnvironment, Bytecode, Outcome, State, Status};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, Output};
use revm::context::{BlockEnv, CfgEnv, Context, Transaction, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::handler::MainnetContext;
use revm::primitives::KECCAK_EMPTY;
use revm::primitives::hardfork::SpecId;
use revm::state::{Account, AccountInfo, EvmState};
use revm::{Database, ExecuteEvm, MainBuilder};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// What one EVM made of a subtest.
#[derive(Debug, Clone)]
pub struct PlainRun {
    /// What became of the transaction, or why it cannot be included.
    pub end: Result<Outcome, Kind>,
    /// The state after.
    pub state: State,
    /// Every account that was looked at.
    pub touched: BTreeSet<Address>,
    /// How long revm took, and applying what it gave.
    pub elapsed: Duration,
}

/// The state before, as revm reads it.
struct Before<'a>(&'a State);

impl Database for Before<'_> {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.0.accounts.get(&address).map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None, // A default code would turn a contract into an account without code.
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.0.codes.get(&hash).cloned().unwrap_or_default())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.0.slots.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        Ok(block_hash(number))
    }
}

/// Runs `case`, whose signed bytes are `bytes`.
pub fn run(case: &Case<'_>, bytes: &Bytes) -> PlainRun {
    let mut state = case.scene.before.clone();
    let started = Instant::now();
    let ran = fields(case).and_then(|env| transact(case, &state, env));
    let (end, touched) = match ran {
        Ok((mut outcome, changes)) => {
            let touched = changes.keys().copied().collect();
            apply(&mut state, changes);
            outcome.transaction = Some(keccak256(bytes));
            (Ok(outcome), touched)
        }
        Err(kind) => (Err(kind), BTreeSet::new()),
    };
    PlainRun { end, state, touched, elapsed: started.elapsed() }
}

fn fields(case: &Case<'_>) -> Result<TxEnv, Kind> {
    let fields = case.fields().map_err(|_| Kind::Undecodable)?;
    Ok(fields.env(case.sender().ok_or(Kind::Undecodable)?, case.chain()))
}

fn transact(case: &Case<'_>, before: &State, env: TxEnv) -> Result<(Outcome, EvmState), Kind> {
    let block = case.block();
    let spec = block.spec.id();
    let mut cfg = CfgEnv::new_with_spec(spec).with_chain_id(case.chain());
    cfg.set_spec_and_mainnet_gas_params(spec);
    cfg.max_blobs_per_tx = Some(if spec == SpecId::PRAGUE { 9 } else { 6 });
    let context: MainnetContext<Before<'_>> = Context::new(Before(before), spec);
    let mut evm = context.with_block(block_env(&block)).with_cfg(cfg).build_mainnet();
    let (kind, gas_price) = (env.tx_type, env.effective_gas_price(u128::from(block.base_fee)));
    let result = evm.transact_one(env).map_err(|error| match error {
        EVMError::Transaction(invalid) => Kind::from(&invalid),
        other => Kind::GaveUp(other.to_string()),
    })?;
    Ok((Outcome { kind, gas_price, ..outcome(result) }, evm.finalize()))
}

fn block_env(block: &BlockEnvironment) -> BlockEnv {
    let blob = block.blob.map(|blob| BlobExcessGasAndPrice::new(blob.excess_gas, blob.update_fraction));
    BlockEnv {
        number: U256::from(block.number),
        beneficiary: block.beneficiary,
        timestamp: U256::from(block.timestamp),
        gas_limit: block.gas_limit,
        basefee: block.base_fee,
        difficulty: block.difficulty,
        prevrandao: block.randomness,
        blob_excess_gas_and_price: blob,
        slot_num: block.number,
    }
}

fn outcome(result: ExecutionResult<HaltReason>) -> Outcome {
    let gas_used = result.tx_gas_used();
    let (status, output, logs, created) = match result {
        ExecutionResult::Success { logs, output, .. } => {
            let created = if let Output::Create(_, created) = &output { *created } else { None };
            (Status::Success, output.into_data(), logs, created)
        }
        ExecutionResult::Revert { output, .. } => (Status::Reverted, output, Vec::new(), None),
        ExecutionResult::Halt { .. } => (Status::Halted, Bytes::new(), Vec::new(), None),
    };
    let logs = logs.into_iter().map(Into::into).collect();
    Outcome { transaction: None, kind: 0, status, gas_used, gas_price: 0, output: output.into(), logs, created }
}

/// Takes over what the transaction changed. revm's `finalize` has made touched empty accounts look as EIP-161 wants them,
/// whatever the fork.
fn apply(state: &mut State, changes: EvmState) {
    for (address, account) in changes {
        if account.is_touched() {
            apply_account(state, address, account);
        }
    }
}

fn apply_account(state: &mut State, address: Address, account: Account) {
    let gone = account.is_selfdestructed() || (account.is_empty() && !account.is_created());
    if gone || (account.is_created() && state.accounts.contains_key(&address)) {
        let slots = (address, U256::ZERO)..=(address, U256::MAX);
        let held: Vec<_> = state.slots.range(slots).map(|(key, _)| *key).collect();
        for key in held {
            state.slots.remove(&key);
        }
    }
    if gone {
        state.accounts.remove(&address);
        return;
    }
    let info = account.info;
    if let Some(code) = info.code.filter(|_| info.code_hash != KECCAK_EMPTY) {
        state.codes.insert(info.code_hash, code);
    }
    let after = AccountState { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash };
    state.accounts.insert(address, after);
    for (slot, value) in account.storage {
        if value.is_changed() {
            state.set_slot(address, slot, value.present_value);
        }
    }
}
