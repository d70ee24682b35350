//! A bench: one state and one block, on which runs follow each other, each seeing what those before it did.
//!
//! ```text
//! ground: parameters, placement, block ── bench over a view ── run ── keep ── run ── keep … ── thrown away
//!                                                               '── watched by an inspector, or not
//! ```
//!
//! Promise: a run comes to what [`crate::execute`] would have come to, gas, logs and outcome, and nothing outlives the bench.
//! What the view lacks ends a run with [`ExecuteError::Missing`], as there.
//! Knows nothing of locks, votes and witnesses: what it reads is for nobody to vouch.

use crate::execute::refused;
use crate::handler::{RunError, impersonate, reward};
use crate::overrides::{AccountOverride, StorageOverride};
use crate::precompiles::{MovedPrecompiles, Moves};
use crate::recorder::{Curiosity, Draft, Recorder, Stop};
use crate::{
    AccountState, BlockEnvironment, Environment, EnvironmentError, ExecuteError, NetworkParams, Placement, Travels,
    View,
};
use alloy_primitives::{Address, B256, U256};
use primitives::Slot;
use revm::bytecode::Bytecode;
use revm::context::{BlockEnv, CfgEnv, Context, ContextSetters, ContextTr, Evm, JournalTr, TxEnv};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::result::{ExecutionResult, HaltReason, ResultAndState};
use revm::database_interface::{Database, DatabaseRef};
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, FrameResult, Handler, MainnetContext, pre_execution, validation};
use revm::inspector::{InspectorHandler, NoOpInspector};
use revm::interpreter::InitialAndFloorGas;
use revm::interpreter::interpreter::EthInterpreter;
use revm::state::{AccountInfo, EvmState};
use revm::{Inspector, MainBuilder};
use std::cell::RefCell;
use std::marker::PhantomData;

/// What a bench's inspectors see.
pub(crate) type Seen<'a> = MainnetContext<Recorder<'a>>;
/// Whoever watches a run.
pub(crate) type Watcher<'p, 'a> = &'p mut (dyn Inspector<Seen<'a>> + 'p);
type WatchedEvm<'p, 'a> = Evm<
    Seen<'a>,
    Watcher<'p, 'a>,
    EthInstructions<EthInterpreter, Seen<'a>>,
    MovedPrecompiles,
    EthFrame<EthInterpreter>,
>;
/// How a run ended, and what it would change.
pub(crate) type Ran = ResultAndState<HaltReason>;

/// Whose rules a run follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// A transaction's, all of them.
    Signed,
    /// A call's: nobody signed it, so nonce and code of the sender do not matter, nor how much a block holds. It pays what price
    /// it names.
    Call,
    /// The protocol's own call: it has no sender, no fee and no nonce, and no phase but the execution itself.
    Own,
    /// A transaction's whose sender is named and did not sign: all of them but that it has no code.
    Named,
}

/// The network and the block that runs are made in.
#[derive(Debug, Clone)]
pub struct Ground<'a> {
    pub(crate) params: &'a NetworkParams,
    pub(crate) placement: &'a Placement,
    pub(crate) environment: Environment,
    pub(crate) block: BlockEnvironment,
    travels: Travels,
}

impl<'a> Ground<'a> {
    /// In the block of `environment`.
    pub fn new(
        params: &'a NetworkParams,
        placement: &'a Placement,
        environment: Environment,
    ) -> Result<Self, EnvironmentError> {
        let block = params.block(&environment)?;
        Ok(Self { params, placement, environment, block, travels: Travels::default() })
    }

    /// The number of its block.
    pub fn number(&self) -> u64 {
        self.block.number
    }

    /// When its block began, in seconds.
    pub fn timestamp(&self) -> u64 {
        self.block.timestamp
    }

    /// When the block of `slot` begins, in seconds.
    pub fn timestamp_of(&self, slot: Slot) -> u64 {
        self.travels.time_of(self.params, slot).seconds()
    }

    /// The block that `slot` stands for.
    pub(crate) fn block_of(&self, slot: Slot) -> BlockEnvironment {
        self.travels.block_of(self.params, slot)
    }

    /// In the block of `slot`.
    pub fn of_slot(params: &'a NetworkParams, placement: &'a Placement, slot: Slot) -> Self {
        Self::travelled(params, placement, slot, Travels::default())
    }

    /// The same where time is moved.
    pub fn travelled(params: &'a NetworkParams, placement: &'a Placement, slot: Slot, travels: Travels) -> Self {
        let (environment, block) = (travels.environment(params, slot), travels.block_of(params, slot));
        Self { params, placement, environment, block, travels }
    }
}

/// Where runs follow each other.
pub(crate) struct Bench<'a> {
    ground: &'a Ground<'a>,
    view: &'a dyn View,
    recorder: Recorder<'a>,
    moves: Moves,
    /// The block that the next run sees.
    pub(crate) block: BlockEnv,
}

impl<'a> Bench<'a> {
    /// On the state of `view`.
    pub(crate) fn new(ground: &'a Ground<'a>, view: &'a dyn View) -> Self {
        Self {
            ground,
            view,
            recorder: recorder(ground, view),
            moves: Moves::default(),
            block: ground.block.block_env(),
        }
    }

    pub(crate) fn ground(&self) -> &'a Ground<'a> {
        self.ground
    }

    /// The fork and network that runs follow; a caller may loosen it for its own.
    pub(crate) fn cfg(&self) -> CfgEnv {
        self.ground.block.cfg_env(self.ground.params.network)
    }

    /// Names what the view lacks of `keys`, so that it is fetched at once.
    pub(crate) fn prefetch(&mut self, keys: impl Iterator<Item = crate::StateKey>) -> Result<(), ExecuteError> {
        self.recorder.prefetch(keys);
        self.whole()
    }

    /// Runs `tx`; what it did is in the answer and nowhere else until it is kept.
    pub(crate) fn run(&mut self, tx: &TxEnv, rules: Rules) -> Result<Ran, ExecuteError> {
        self.go(tx, rules, None)
    }

    /// Runs `tx` before the eyes of `watcher`.
    pub(crate) fn watch(&mut self, tx: &TxEnv, rules: Rules, watcher: Watcher<'_, 'a>) -> Result<Ran, ExecuteError> {
        self.go(tx, rules, Some(watcher))
    }

    fn go(&mut self, tx: &TxEnv, rules: Rules, watcher: Option<Watcher<'_, 'a>>) -> Result<Ran, ExecuteError> {
        self.recorder.move_to(self.block.number.saturating_to());
        let recorder = std::mem::replace(&mut self.recorder, recorder(self.ground, self.view));
        let mut cfg = self.cfg();
        if rules == Rules::Call {
            cfg.disable_nonce_check = true;
            cfg.tx_gas_limit_cap = Some(u64::MAX);
        }
        let precompiles = MovedPrecompiles::new(*cfg.spec(), self.moves.clone());
        let place = (self.block.clone(), cfg, precompiles);
        let (recorder, ran) = go(recorder, place, (tx.clone(), rules), watcher);
        self.recorder = recorder;
        self.whole()?;
        let shown = BlockEnvironment {
            gas_limit: self.block.gas_limit,
            base_fee: self.block.basefee,
            ..self.ground.block.clone()
        };
        ran.map_err(|error| refused(0, tx, &shown, error))
    }

    /// What an eager run made up may well be an answer; what it lacks comes first.
    fn whole(&mut self) -> Result<(), ExecuteError> {
        let missing = self.recorder.take_missing();
        if missing.is_empty() { Ok(()) } else { Err(ExecuteError::Missing(missing)) }
    }

    /// Lets wei come into being with `address`. Says how all was before, for [`Bench::restore`].
    pub(crate) fn mint(&mut self, address: Address, wei: U256) -> Result<Draft, ExecuteError> {
        let before = self.recorder.draft();
        let account = self.account(address)?.unwrap_or(AccountState::EMPTY);
        let after = AccountState { balance: account.balance.saturating_add(wei), ..account };
        self.recorder.set_account(address, Some(after));
        Ok(before)
    }

    /// Back to how all was.
    pub(crate) fn restore(&mut self, before: Draft) {
        self.recorder.restore(before);
    }

    /// Lets the runs to come see what a run did.
    pub(crate) fn keep(&mut self, state: EvmState) {
        self.recorder.absorb(state);
    }

    /// Writes an account over what is there.
    pub(crate) fn replace(&mut self, address: Address, wanted: &AccountOverride) -> Result<(), ExecuteError> {
        self.moves.note(*self.cfg().spec(), address, wanted);
        let before = self.account(address)?;
        let code = wanted.code.as_ref().map(|code| {
            Bytecode::new_raw_checked(code.0.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code.0.clone()))
        });
        let after = wanted.over(before, code.as_ref().map(Bytecode::hash_slow));
        self.recorder.replace(address, after, code);
        match &wanted.storage {
            StorageOverride::None => {}
            StorageOverride::Whole(slots) => self.recorder.replace_storage(address, slots),
            StorageOverride::Parts(slots) => self.recorder.replace_slots(address, slots),
        }
        Ok(())
    }

    /// Puts precompiles back to where they belong.
    pub(crate) fn unmove(&mut self) {
        self.moves = Moves::default();
    }

    /// An account as the next run finds it.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<AccountState>, ExecuteError> {
        let account = self.recorder.account(address);
        self.whole()?;
        account.map_err(|stop| ExecuteError::Evm { reason: stop.to_string() })
    }

    /// What a slot holds as the next run finds it.
    pub(crate) fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ExecuteError> {
        let value = self.recorder.storage(address, slot);
        self.whole()?;
        value.map_err(|stop| ExecuteError::Evm { reason: stop.to_string() })
    }

    /// What `tell` makes of the state before the run that was last and is not kept.
    pub(crate) fn before<T>(&mut self, tell: impl FnOnce(&mut Before<'_, 'a>) -> T) -> Result<T, ExecuteError> {
        let told = tell(&mut Before(RefCell::new(&mut self.recorder)));
        self.whole()?;
        Ok(told)
    }
}

fn recorder<'a>(ground: &'a Ground<'a>, view: &'a dyn View) -> Recorder<'a> {
    let place = (&ground.environment, &ground.block);
    Recorder::new(view, ground.params, place, ground.placement, Curiosity::Eager)
}

/// One run, with the database lent and given back.
fn go<'a>(
    recorder: Recorder<'a>,
    (block, cfg, precompiles): (BlockEnv, CfgEnv, MovedPrecompiles),
    (tx, rules): (TxEnv, Rules),
    watcher: Option<Watcher<'_, 'a>>,
) -> (Recorder<'a>, Result<Ran, RunError>) {
    let is_watched = watcher.is_some();
    let mut nobody = NoOpInspector;
    let watcher: Watcher<'_, 'a> = match watcher {
        Some(watcher) => watcher,
        None => &mut nobody,
    };
    let spec = *cfg.spec();
    let context = Context::<BlockEnv, TxEnv, CfgEnv, _, _, ()>::new(recorder, spec).with_block(block).with_cfg(cfg);
    let mut evm: WatchedEvm<'_, 'a> = context.build_mainnet_with_inspector(watcher).with_precompiles(precompiles);
    evm.ctx.set_tx(tx);
    let mut handler = BenchHandler { rules, lives: PhantomData };
    let result = match (rules, is_watched) {
        (Rules::Own, is_watched) => handler.run_own(&mut evm, is_watched),
        (Rules::Signed | Rules::Named | Rules::Call, true) => handler.inspect_run(&mut evm),
        (Rules::Signed | Rules::Named | Rules::Call, false) => handler.run(&mut evm),
    };
    let ran = result.map(|result| ResultAndState { result, state: evm.ctx.journal_mut().finalize() });
    (evm.ctx.journaled_state.database, ran)
}

/// Mainnet's phases for what is run to be told of, under either of the [`Rules`].
struct BenchHandler<'p, 'a> {
    rules: Rules,
    lives: PhantomData<(&'p (), &'a ())>,
}

impl<'p, 'a: 'p> Handler for BenchHandler<'p, 'a> {
    type Evm = WatchedEvm<'p, 'a>;
    type Error = RunError;
    type HaltReason = HaltReason;

    fn validate_env(&self, evm: &mut Self::Evm) -> Result<(), RunError> {
        if self.rules != Rules::Call {
            return validation::validate_env(&mut evm.ctx);
        }
        // A call is in no block, so none can be too full for it; and one without a price pays no base fee.
        let (gas_limit, base_fee) = (evm.ctx.block.gas_limit, evm.ctx.block.basefee);
        evm.ctx.block.gas_limit = u64::MAX;
        if evm.ctx.tx.gas_price == 0 {
            evm.ctx.block.basefee = 0;
        }
        let valid = validation::validate_env(&mut evm.ctx);
        (evm.ctx.block.gas_limit, evm.ctx.block.basefee) = (gas_limit, base_fee);
        valid
    }

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut Self::Evm,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), RunError> {
        match self.rules {
            Rules::Signed => return pre_execution::validate_against_state_and_deduct_caller(&mut evm.ctx),
            Rules::Named => return impersonate(&mut evm.ctx),
            Rules::Call | Rules::Own => {}
        }
        let (block, tx, cfg, journal, ..) = evm.ctx.all_mut();
        let mut caller = journal.load_account_with_code_mut(tx.caller)?.data;
        let after = pre_execution::calculate_caller_fee(*caller.balance(), tx, block, cfg)?;
        caller.set_balance(after);
        if tx.kind.is_call() {
            caller.bump_nonce();
        }
        Ok(())
    }

    fn reward_beneficiary(&self, evm: &mut Self::Evm, result: &mut FrameResult) -> Result<(), RunError> {
        let ctx = &mut evm.ctx;
        let reward = reward(ctx, result.gas());
        if self.rules == Rules::Call && reward.is_zero() {
            return Ok(());
        }
        // No credit: that would stay with the database whether the run is kept or not.
        let beneficiary = ctx.block.beneficiary;
        ctx.journal_mut().load_account_mut(beneficiary)?.incr_balance(reward);
        Ok(())
    }
}

impl<'p, 'a: 'p> InspectorHandler for BenchHandler<'p, 'a> {
    type IT = EthInterpreter;
}

impl<'p, 'a: 'p> BenchHandler<'p, 'a> {
    /// Runs a call of the protocol itself, as its shard did.
    fn run_own(
        &mut self,
        evm: &mut WatchedEvm<'p, 'a>,
        is_watched: bool,
    ) -> Result<ExecutionResult<HaltReason>, RunError> {
        let (caller, pays) = (evm.ctx.tx.caller, !evm.ctx.tx.value.is_zero());
        pre_execution::load_accounts::<_, RunError>(evm)?;
        if pays {
            // The transfer takes it for granted that the caller is loaded; a sender's validation would have done it.
            evm.ctx.journal_mut().load_account(caller)?;
        }
        if is_watched { self.inspect_run_system_call(evm) } else { self.run_system_call(evm) }
    }
}

/// The state before a run, for those who compare.
pub(crate) struct Before<'r, 'a>(RefCell<&'r mut Recorder<'a>>);

impl DatabaseRef for Before<'_, '_> {
    type Error = Stop;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Stop> {
        self.0.borrow_mut().basic(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Stop> {
        self.0.borrow_mut().code_by_hash(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, Stop> {
        self.0.borrow_mut().storage(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Stop> {
        self.0.borrow_mut().block_hash(number)
    }
}
