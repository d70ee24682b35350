//! The EVM's transaction phases, with one changed: the beneficiary's reward is a credit that reads nothing.

use crate::recorder::{Recorder, Stop};
use crate::uses::told;
use alloy_primitives::U256;
use revm::context::{BlockEnv, CfgEnv, Context, ContextSetters, ContextTr, JournalTr, Transaction, TxEnv};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use revm::handler::{EvmTr, FrameResult, Handler, ItemOrResult, MainnetContext, pre_execution};
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::{FrameInput, Gas, InitialAndFloorGas};
use revm::primitives::hardfork::SpecId;
use revm::{MainBuilder, MainnetEvm};
use std::marker::PhantomData;

pub(crate) type Evm<'a> = MainnetEvm<MainnetContext<Recorder<'a>>>;
pub(crate) type RunError = EVMError<Stop, InvalidTransaction>;

/// A mainnet EVM over a recording database.
pub(crate) fn evm(recorder: Recorder<'_>, block: BlockEnv, cfg: CfgEnv) -> Evm<'_> {
    let spec = *cfg.spec();
    let context = Context::<BlockEnv, TxEnv, CfgEnv, _, _, ()>::new(recorder, spec).with_block(block).with_cfg(cfg);
    told(context.build_mainnet())
}

/// Mainnet's phases, fees as fragments. It counts the gas that code burnt, also where a missing value ended the run.
#[derive(Default)]
pub(crate) struct FragmentHandler<'a> {
    burnt: u64,
    /// What a frame was given, or gives back, that its caller has not got back yet.
    under_way: u64,
    /// Whether the sender of what is run is named and did not sign: then it may have code, which EIP-3607 forbids to who signs.
    pub(crate) impersonates: bool,
    lifetime: PhantomData<&'a ()>,
}

impl FragmentHandler<'_> {
    /// Gas that code burnt in all runs so far; what a transaction costs before it runs is not in it.
    pub(crate) fn burnt(&self) -> u64 {
        self.burnt
    }

    /// revm's loop over frames, with a note of the gas that is on its way between two of them.
    fn frames(&mut self, evm: &mut <Self as Handler>::Evm, first: FrameInit) -> Result<FrameResult, RunError> {
        self.under_way = 0;
        if let ItemOrResult::Result(result) = evm.frame_init(first)? {
            return Ok(result);
        }
        loop {
            let result = match evm.frame_run()? {
                ItemOrResult::Result(result) => result,
                ItemOrResult::Item(init) => {
                    self.under_way = gas_limit(&init);
                    match evm.frame_init(init)? {
                        ItemOrResult::Item(_) => {
                            self.under_way = 0;
                            continue;
                        }
                        // No frame was made, so none is popped.
                        ItemOrResult::Result(result) => result,
                    }
                }
            };
            self.under_way = result.gas().remaining();
            if let Some(result) = evm.frame_return_result(result)? {
                return Ok(result);
            }
            self.under_way = 0;
        }
    }

    /// Runs a call without sender, fee or nonce: no phase but the execution itself.
    pub(crate) fn run_call(
        &mut self,
        evm: &mut <Self as Handler>::Evm,
        call: TxEnv,
    ) -> Result<ExecutionResult<HaltReason>, RunError> {
        let (caller, pays) = (call.caller, !call.value.is_zero());
        evm.ctx.set_tx(call);
        pre_execution::load_accounts::<_, RunError>(evm)?;
        if pays {
            // The transfer takes it for granted that the caller is loaded; a sender's validation would have done it.
            evm.ctx.journal_mut().load_account(caller)?;
        }
        self.run_system_call(evm)
    }
}

impl<'a> Handler for FragmentHandler<'a> {
    type Evm = Evm<'a>;
    type Error = RunError;
    type HaltReason = HaltReason;

    fn run_exec_loop(&mut self, evm: &mut Self::Evm, first: FrameInit) -> Result<FrameResult, RunError> {
        let result = self.frames(evm, first);
        let burnt = match &result {
            Ok(result) => spent(result.gas()),
            Err(_) => burnt_by_frames(evm).saturating_sub(self.under_way),
        };
        self.burnt = self.burnt.saturating_add(burnt);
        result
    }

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut Self::Evm,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), RunError> {
        if self.impersonates {
            return impersonate(&mut evm.ctx);
        }
        pre_execution::validate_against_state_and_deduct_caller(&mut evm.ctx)
    }

    fn reward_beneficiary(&self, evm: &mut Self::Evm, result: &mut FrameResult) -> Result<(), RunError> {
        let ctx = &mut evm.ctx;
        let reward = reward(ctx, result.gas());
        let loaded = ctx.journal().inner.state.contains_key(&ctx.block.beneficiary);
        // Before Spurious Dragon a reward of nothing still brings the account into being.
        let creates = reward.is_zero() && !ctx.cfg.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        if loaded || creates {
            let beneficiary = ctx.block.beneficiary;
            ctx.journal_mut().load_account_mut(beneficiary)?.incr_balance(reward);
            return Ok(());
        }
        let sender = ctx.tx.caller();
        ctx.db_mut().credit(sender, reward);
        Ok(())
    }
}

/// revm's checks of a sender and what it pays, but for EIP-3607.
pub(crate) fn impersonate<DB: revm::Database>(
    ctx: &mut MainnetContext<DB>,
) -> Result<(), EVMError<DB::Error, InvalidTransaction>> {
    let (block, tx, cfg, journal, ..) = ctx.all_mut();
    let mut caller = journal.load_account_with_code_mut(tx.caller)?.data;
    pre_execution::validate_account_nonce_and_code(&caller.account().info, tx.nonce, true, false)?;
    let after = pre_execution::calculate_caller_fee(*caller.balance(), tx, block, cfg)?;
    caller.set_balance(after);
    if tx.kind.is_call() {
        caller.bump_nonce();
    }
    Ok(())
}

fn spent(gas: &Gas) -> u64 {
    gas.limit().saturating_sub(gas.remaining())
}

fn gas_limit(init: &FrameInit) -> u64 {
    match &init.frame_input {
        FrameInput::Empty => 0,
        FrameInput::Call(inputs) => inputs.gas_limit,
        FrameInput::Create(inputs) => inputs.gas_limit(),
    }
}

/// What the frames of a run that was ended have burnt; takes them off the stack. What a frame gave to the next is not burnt by
/// it.
fn burnt_by_frames(evm: &mut Evm<'_>) -> u64 {
    let (mut burnt, mut given) = (0_u64, 0);
    while evm.frame_stack.index().is_some() {
        let gas = &evm.frame_stack.get().interpreter.gas;
        burnt = burnt.saturating_add(spent(gas).saturating_sub(given));
        given = gas.limit();
        evm.frame_stack.pop();
    }
    burnt
}

/// What the beneficiary is paid: the gas used at the price above the base fee, which is burnt. In 256 bits, since a genesis
/// may make someone rich enough for a price that overflows revm's own multiplication.
pub(crate) fn reward<DB: revm::Database>(ctx: &MainnetContext<DB>, gas: &Gas) -> U256 {
    let base_fee = u128::from(ctx.block.basefee);
    let price = ctx.tx.effective_gas_price(base_fee);
    let london = ctx.cfg.spec.is_enabled_in(SpecId::LONDON);
    let paid = if london { price.saturating_sub(base_fee) } else { price };
    U256::from(paid) * U256::from(gas.used().saturating_sub(gas.reservoir()))
}
