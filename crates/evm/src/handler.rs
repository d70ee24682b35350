//! The EVM's transaction phases, with one changed: the beneficiary's reward is a credit that reads nothing.

use crate::recorder::{Recorder, Stop};
use crate::uses::told;
use alloy_primitives::U256;
use revm::context::{BlockEnv, CfgEnv, Context, ContextSetters, ContextTr, JournalTr, Transaction, TxEnv};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use revm::handler::{FrameResult, Handler, MainnetContext, pre_execution};
use revm::interpreter::{Gas, InitialAndFloorGas};
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

/// Mainnet's phases, fees as fragments.
#[derive(Default)]
pub(crate) struct FragmentHandler<'a>(PhantomData<&'a ()>);

impl FragmentHandler<'_> {
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

/// Mainnet's phases for a call that nobody signed: no nonce, no fee, and contracts may call too.
#[derive(Default)]
pub(crate) struct SimulationHandler<'a>(PhantomData<&'a ()>);

impl<'a> Handler for SimulationHandler<'a> {
    type Evm = Evm<'a>;
    type Error = RunError;
    type HaltReason = HaltReason;

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut Self::Evm,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), RunError> {
        let (tx, journal) = evm.ctx.tx_journal_mut();
        let mut caller = journal.load_account_with_code_mut(tx.caller)?.data;
        let balance = *caller.balance();
        if balance < tx.value {
            let (fee, balance) = (Box::new(tx.value), Box::new(balance));
            return Err(InvalidTransaction::LackOfFundForMaxFee { fee, balance }.into());
        }
        if tx.kind.is_call() {
            caller.bump_nonce();
        }
        Ok(())
    }

    fn reward_beneficiary(&self, _evm: &mut Self::Evm, _result: &mut FrameResult) -> Result<(), RunError> {
        Ok(())
    }
}

/// What the beneficiary is paid: the gas used at the price above the base fee, which is burnt. In 256 bits, since a genesis
/// may make someone rich enough for a price that overflows revm's own multiplication.
fn reward<DB: revm::Database>(ctx: &MainnetContext<DB>, gas: &Gas) -> U256 {
    let base_fee = u128::from(ctx.block.basefee);
    let price = ctx.tx.effective_gas_price(base_fee);
    let london = ctx.cfg.spec.is_enabled_in(SpecId::LONDON);
    let paid = if london { price.saturating_sub(base_fee) } else { price };
    U256::from(paid) * U256::from(gas.used().saturating_sub(gas.reservoir()))
}
