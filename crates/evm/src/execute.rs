//! Runs a payload once over a view and writes down all it read and did.

use crate::handler::{FragmentHandler, RunError, evm};
use crate::recorder::{Curiosity, Missing, Recorder, Stop};
use crate::{
    AccountState, BATCH_GAS_MAX, BlockEnvironment, Data, Effects, EnvironmentError, Executed, Funding, NetworkParams,
    Outcome, Placement, RecoveredPayload, RecoveredTransaction, StateKey, Status, Step, SystemTransaction, View,
    WITNESS_BYTES_MAX, handler,
};
use alloy_primitives::{Address, TxKind, U256};
use revm::context::{ContextSetters, ContextTr, JournalTr, Transaction, TxEnv};
use revm::context_interface::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, Output};
use revm::handler::Handler;
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeSet;

/// Why a signed transaction cannot be included. Nothing was spent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The sender has sent this nonce already.
    #[error("nonce {transaction} is too low: the sender's next is {state}")]
    NonceTooLow {
        /// The transaction's.
        transaction: u64,
        /// The account's.
        state: u64,
    },
    /// The sender has to send other transactions first.
    #[error("nonce {transaction} is too high: the sender's next is {state}")]
    NonceTooHigh {
        /// The transaction's.
        transaction: u64,
        /// The account's.
        state: u64,
    },
    /// The sender cannot pay gas limit times price plus value.
    #[error("insufficient funds: up to {required} wei needed, the sender has {balance}")]
    Funds {
        /// The most the transaction may cost.
        required: U256,
        /// What the sender has.
        balance: U256,
    },
    /// More gas than a transaction may ask for here.
    #[error("gas limit {limit} is over the maximum of {max}")]
    GasLimit {
        /// The transaction's.
        limit: u64,
        /// The network's.
        max: u64,
    },
    /// Less gas than the transaction's bytes alone cost.
    #[error("gas limit {limit} is under the {required} that the transaction costs before it runs")]
    IntrinsicGas {
        /// The transaction's.
        limit: u64,
        /// What it needs.
        required: u64,
    },
    /// It does not pay the base fee.
    #[error("the most it pays is {price} wei per gas, the base fee is {base_fee}")]
    PriceBelowBaseFee {
        /// The transaction's maximum.
        price: u128,
        /// The environment's.
        base_fee: u64,
    },
    /// Its priority fee is over its whole fee.
    #[error("the priority fee is over the maximum fee")]
    PriorityAbovePrice,
    /// The sender is a contract (EIP-3607).
    #[error("the sender has code and cannot sign")]
    SenderHasCode,
    /// The network's fork does not know this type, or it breaks a rule of its type.
    #[error("{reason}")]
    Rule {
        /// Which rule, as revm words it.
        reason: String,
    },
}

/// Why a payload did not run to its end. Nothing is done in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// The view lacks values: fetch them and run again. Not every one need be read in the end.
    #[error("{} values are missing, the first is {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Missing(BTreeSet<Missing>),
    /// A transaction cannot be included.
    #[error("transaction {index} of {sender}: {reason}")]
    Invalid {
        /// Its place in the payload.
        index: usize,
        /// Who signed it.
        sender: Address,
        /// Why.
        reason: Invalid,
    },
    /// A transaction of a bundle did not succeed, so none of the bundle happens.
    #[error("transaction {index} of the bundle did not succeed: {:?}", .outcome.status)]
    BundleReverted {
        /// Its place in the payload.
        index: usize,
        /// What would have become of it.
        outcome: Box<Outcome>,
    },
    /// The environment is not one of this network's, or lacks what its fork needs.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// BLOCKHASH of a block that an explicit environment does not name.
    #[error("the hash of block {number} is not in the environment")]
    BlockHash {
        /// Which block.
        number: u64,
    },
    /// The first transactions of a batch use more gas than all of it may.
    #[error("{gas} gas where a batch may use {BATCH_GAS_MAX}")]
    BatchGas {
        /// What they use.
        gas: u64,
    },
    /// It reads more than a witness may carry.
    #[error("the run reads more than {WITNESS_BYTES_MAX} bytes")]
    TooMuch,
    /// The EVM itself gave up: the environment breaks its fork's rules, or a precompile failed fatally.
    #[error("the EVM gave up: {reason}")]
    Evm {
        /// In its own words.
        reason: String,
    },
}

/// Runs `payload` over `view`.
///
/// A value that the view lacks ends the run with [`ExecuteError::Missing`], which names as many as it could find.
pub fn execute<V: View + ?Sized>(
    params: &NetworkParams,
    placement: &Placement,
    payload: &RecoveredPayload,
    view: &V,
) -> Result<Executed, ExecuteError> {
    run(params, placement, payload, &view, Curiosity::Eager)
}

/// Like [`execute`], and says how much gas code burnt, whatever came of it.
pub fn execute_counted<V: View + ?Sized>(
    params: &NetworkParams,
    placement: &Placement,
    payload: &RecoveredPayload,
    view: &V,
) -> (Result<Executed, ExecuteError>, u64) {
    let mut gas = 0;
    let result = run_counted((params, placement), payload, &view, Curiosity::Eager, &mut gas);
    (result, gas)
}

/// Runs `payload` over a view that has all it ever will: a shard's own state, for what concerns that shard alone.
///
/// Only what the run reads has to be there. What the payload names and never reads, in an access list or in an authorization
/// that does not hold, may be anybody's: [`execute`] has it fetched to save a round, here there is nothing to fetch.
pub fn execute_alone<V: View + ?Sized>(
    params: &NetworkParams,
    placement: &Placement,
    payload: &RecoveredPayload,
    view: &V,
) -> Result<Executed, ExecuteError> {
    run(params, placement, payload, &view, Curiosity::Strict)
}

pub(crate) fn run(
    params: &NetworkParams,
    placement: &Placement,
    payload: &RecoveredPayload,
    view: &dyn View,
    curiosity: Curiosity,
) -> Result<Executed, ExecuteError> {
    run_counted((params, placement), payload, view, curiosity, &mut 0)
}

fn run_counted(
    (params, placement): (&NetworkParams, &Placement),
    payload: &RecoveredPayload,
    view: &dyn View,
    curiosity: Curiosity,
    gas: &mut u64,
) -> Result<Executed, ExecuteError> {
    // Whether the payload may name its environment was checked when it came in.
    let block = params.block(&payload.payload.environment)?;
    let environment = (&payload.payload.environment, &block);
    let mut recorder = Recorder::new(view, params, environment, placement, curiosity);
    if curiosity == Curiosity::Eager {
        recorder.prefetch(payload.steps.iter().flat_map(foreseen));
        if !recorder.missing().is_empty() {
            return Err(ExecuteError::Missing(recorder.take_missing()));
        }
    }
    let mut run = Run {
        evm: evm(recorder, block.block_env(), block.cfg_env(params.network)),
        block: &block,
        handler: FragmentHandler::default(),
    };
    let outcomes = run.all(payload);
    *gas = run.handler.burnt();
    let outcomes = outcomes?;
    run.recorder().fix();
    if !run.recorder().missing().is_empty() {
        return Err(ExecuteError::Missing(run.recorder().take_missing()));
    }
    let (witness, changes, owners) = run.evm.ctx.journaled_state.database.finish();
    if witness.bytes_count() > WITNESS_BYTES_MAX {
        return Err(ExecuteError::TooMuch);
    }
    let senders = payload.signed().map(RecoveredTransaction::sender);
    Ok(Executed::new(payload.digest, (witness, Effects { changes, outcomes }), senders, owners))
}

/// A call of the protocol itself, as revm takes it.
pub(crate) fn call_env((caller, target): (Address, Address), input: &Data, gas_limit: u64, value: U256) -> TxEnv {
    TxEnv { caller, kind: TxKind::Call(target), data: input.0.clone(), gas_limit, value, ..TxEnv::default() }
}

/// What a transaction will surely, or by its own word, read.
pub(crate) fn foreseen(step: &Step) -> Vec<StateKey> {
    match step {
        Step::Signed(transaction) => foreseen_signed(&transaction.env),
        Step::System(SystemTransaction::Call { caller, target, value, .. }) => {
            let caller = (!value.is_zero()).then_some(*caller);
            [*target].into_iter().chain(caller).map(StateKey::Account).collect()
        }
        Step::System(SystemTransaction::Increase { balances }) => {
            balances.iter().map(|(address, _)| StateKey::Account(*address)).collect()
        }
        Step::System(SystemTransaction::Burn { account, .. }) => vec![StateKey::Account(*account)],
        Step::System(SystemTransaction::Gather { accounts, beneficiary }) => {
            accounts.iter().chain([beneficiary]).map(|address| StateKey::Account(*address)).collect()
        }
        Step::System(SystemTransaction::Settle) => Vec::new(),
    }
}

pub(crate) fn foreseen_signed(env: &TxEnv) -> Vec<StateKey> {
    let sender_and_target = [Some(env.caller), env.kind.to().copied()].into_iter().flatten();
    let authorities = env.authorization_list.iter().filter_map(|authorization| match authorization {
        revm::context_interface::either::Either::Left(signed) => signed.recover_authority().ok(),
        revm::context_interface::either::Either::Right(recovered) => recovered.authority(),
    });
    let mut keys: Vec<StateKey> = sender_and_target.chain(authorities).map(StateKey::Account).collect();
    for item in env.access_list.iter() {
        keys.push(StateKey::Account(item.address));
        keys.extend(item.storage_keys.iter().map(|slot| StateKey::Slot(item.address, (*slot).into())));
    }
    keys
}

/// One payload being run.
struct Run<'a> {
    evm: handler::Evm<'a>,
    block: &'a BlockEnvironment,
    handler: FragmentHandler<'a>,
}

impl<'a> Run<'a> {
    fn all(
        &mut self,
        RecoveredPayload { payload, steps, .. }: &RecoveredPayload,
    ) -> Result<Vec<Outcome>, ExecuteError> {
        let (mut outcomes, mut gas) = (Vec::with_capacity(steps.len()), 0_u64);
        for (index, step) in steps.iter().enumerate() {
            let outcome = self.step(step).map_err(|error| self.refusal(index, step, error))?;
            if !self.recorder().missing().is_empty() {
                return Err(ExecuteError::Missing(self.recorder().take_missing()));
            }
            if payload.is_undone_by(outcome.status) {
                return Err(ExecuteError::BundleReverted { index, outcome: Box::new(outcome) });
            }
            gas = gas.saturating_add(outcome.gas_used);
            if !payload.may_use(gas) {
                return Err(ExecuteError::BatchGas { gas });
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn recorder(&mut self) -> &mut Recorder<'a> {
        self.evm.ctx.db_mut()
    }

    fn step(&mut self, step: &Step) -> Result<Outcome, RunError> {
        match step {
            Step::Signed(transaction) => self.signed(transaction),
            Step::System(SystemTransaction::Call { caller, target, input, gas_limit, value, funding }) => {
                self.call(call_env((*caller, *target), input, *gas_limit, *value), *funding)
            }
            Step::System(SystemTransaction::Increase { balances }) => {
                balances.iter().try_for_each(|(address, wei)| self.increase(*address, *wei))?;
                Ok(done(Status::Success))
            }
            Step::System(SystemTransaction::Burn { account, value }) => self.burn(*account, *value),
            Step::System(SystemTransaction::Gather { accounts, beneficiary }) => self.gather(accounts, *beneficiary),
            Step::System(SystemTransaction::Settle) => {
                self.recorder().settle().map_err(EVMError::Database)?;
                Ok(done(Status::Success))
            }
        }
    }

    fn signed(&mut self, transaction: &RecoveredTransaction) -> Result<Outcome, RunError> {
        self.uses_payers(&transaction.env);
        self.evm.ctx.set_tx(transaction.env.clone());
        self.handler.impersonates = transaction.impersonates;
        let result = self.handler.run(&mut self.evm)?;
        let state = self.evm.ctx.journal_mut().finalize();
        self.recorder().absorb(state);
        let gas_price = transaction.env.effective_gas_price(u128::from(self.block.base_fee));
        let outcome = finished(result);
        Ok(Outcome { transaction: Some(transaction.hash), kind: transaction.env.tx_type, gas_price, ..outcome })
    }

    /// The sender's nonce and balance matter, and the target's balance if it is sent something.
    fn uses_payers(&mut self, env: &TxEnv) {
        self.recorder().uses(env.caller);
        if let Some(target) = env.kind.to().filter(|_| !env.value.is_zero()) {
            self.recorder().uses(*target);
        }
    }

    fn call(&mut self, call: TxEnv, funding: Funding) -> Result<Outcome, RunError> {
        let before = self.recorder().draft();
        if !call.value.is_zero() {
            self.uses_payers(&call);
        }
        if funding == Funding::Minted {
            self.increase(call.caller, call.value)?;
        }
        let result = self.handler.run_call(&mut self.evm, call)?;
        let state = self.evm.ctx.journal_mut().finalize();
        if result.is_success() {
            self.recorder().absorb(state);
        } else {
            self.recorder().restore(before);
        }
        Ok(finished(result))
    }

    /// Adds wei and touches the account, as the fork has it: from Spurious Dragon on an empty account does not stay.
    fn increase(&mut self, address: Address, wei: U256) -> Result<(), RunError> {
        let keeps_empty = !self.block.spec.includes(SpecId::SPURIOUS_DRAGON);
        let account = self.recorder().account(address).map_err(EVMError::Database)?.unwrap_or(AccountState::EMPTY);
        let after = AccountState { balance: account.balance.saturating_add(wei), ..account };
        self.recorder().set_account(address, (keeps_empty || !after.is_empty()).then_some(after));
        Ok(())
    }

    fn burn(&mut self, address: Address, wei: U256) -> Result<Outcome, RunError> {
        let account = self.recorder().account(address).map_err(EVMError::Database)?.unwrap_or(AccountState::EMPTY);
        let Some(balance) = account.balance.checked_sub(wei) else {
            return Ok(done(Status::Reverted));
        };
        let after = AccountState { balance, ..account };
        self.recorder().set_account(address, (!after.is_empty()).then_some(after));
        Ok(done(Status::Success))
    }

    fn gather(&mut self, accounts: &[Address], beneficiary: Address) -> Result<Outcome, RunError> {
        let mut gathered = U256::ZERO;
        for address in accounts {
            if let Some(account) = self.recorder().account(*address).map_err(EVMError::Database)? {
                gathered = gathered.saturating_add(account.balance);
                self.recorder().set_account(*address, Some(AccountState { balance: U256::ZERO, ..account }));
            }
        }
        self.increase(beneficiary, gathered)?;
        Ok(done(Status::Success))
    }

    fn refusal(&mut self, index: usize, step: &Step, error: RunError) -> ExecuteError {
        // What an eager run made up may well be invalid; what it lacks comes first.
        let missing = self.recorder().take_missing();
        match step {
            _ if !missing.is_empty() => ExecuteError::Missing(missing),
            Step::Signed(transaction) => refused(index, &transaction.env, self.block, error),
            Step::System(_) => refused(index, &TxEnv::default(), self.block, error),
        }
    }
}

/// What an error of revm amounts to, once nothing is missing.
pub(crate) fn refused(index: usize, env: &TxEnv, block: &BlockEnvironment, error: RunError) -> ExecuteError {
    match error {
        EVMError::Database(Stop::BlockHash { number }) => ExecuteError::BlockHash { number },
        EVMError::Database(Stop::TooMuch) => ExecuteError::TooMuch,
        EVMError::Transaction(invalid) => {
            ExecuteError::Invalid { index, sender: env.caller, reason: reason(invalid, env, block) }
        }
        error => ExecuteError::Evm { reason: error.to_string() },
    }
}

fn done(status: Status) -> Outcome {
    Outcome {
        transaction: None,
        kind: 0,
        status,
        gas_used: 0,
        gas_price: 0,
        output: Data::default(),
        logs: Vec::new(),
        created: None,
    }
}

/// The outcome that a result of revm amounts to.
pub(crate) fn finished(result: ExecutionResult<HaltReason>) -> Outcome {
    let gas_used = result.tx_gas_used();
    match result {
        ExecutionResult::Success { logs, output, .. } => {
            let created = if let Output::Create(_, created) = output { created } else { None };
            let logs = logs.into_iter().map(Into::into).collect();
            Outcome { gas_used, logs, created, output: output.into_data().into(), ..done(Status::Success) }
        }
        ExecutionResult::Revert { output, .. } => Outcome { gas_used, output: output.into(), ..done(Status::Reverted) },
        ExecutionResult::Halt { .. } => Outcome { gas_used, ..done(Status::Halted) },
    }
}

fn reason(invalid: InvalidTransaction, env: &TxEnv, block: &BlockEnvironment) -> Invalid {
    use InvalidTransaction as Cause;
    match invalid {
        Cause::NonceTooLow { tx, state } => Invalid::NonceTooLow { transaction: tx, state },
        Cause::NonceTooHigh { tx, state } => Invalid::NonceTooHigh { transaction: tx, state },
        Cause::LackOfFundForMaxFee { fee, balance } => Invalid::Funds { required: *fee, balance: *balance },
        Cause::CallerGasLimitMoreThanBlock => Invalid::GasLimit { limit: env.gas_limit, max: block.gas_limit },
        Cause::TxGasLimitGreaterThanCap { gas_limit, cap } => Invalid::GasLimit { limit: gas_limit, max: cap },
        Cause::CallGasCostMoreThanGasLimit { initial_gas: required, gas_limit: limit }
        | Cause::GasFloorMoreThanGasLimit { gas_floor: required, gas_limit: limit } => {
            Invalid::IntrinsicGas { limit, required }
        }
        Cause::GasPriceLessThanBasefee => Invalid::PriceBelowBaseFee { price: env.gas_price, base_fee: block.base_fee },
        Cause::PriorityFeeGreaterThanMaxFee => Invalid::PriorityAbovePrice,
        Cause::RejectCallerWithCode => Invalid::SenderHasCode,
        other => Invalid::Rule { reason: other.to_string() },
    }
}
