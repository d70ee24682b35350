//! One plain revm: mainnet's own handler over a map, no shards, no witness, no fragments of fees.
//!
//! What the shards did is compared with this. It shares nothing with their execution but revm itself: its own database,
//! its own way of applying what a transaction changed, its own block environment.
//!
//! Promise (I8): wei come into being and cease only as the protocol says, step by step, or the run stops.

use alloy_primitives::{Address, B256, TxKind, U256};
use evm::{
    AccountState, BlockEnvironment, Bytecode, Data, Environment, Funding, HISTORY_ADDRESS, HISTORY_CODE_HASH,
    HISTORY_COUNT, NetworkParams, Outcome, RecoveredPayload, RecoveredTransaction, State, Status, Step,
    SystemTransaction,
};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, Output};
use revm::context::{BlockEnv, CfgEnv, Context, ContextSetters, ContextTr, JournalTr, Transaction, TxEnv};
use revm::context_interface::Block;
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database_interface::DBErrorMarker;
use revm::handler::{Handler, MainnetContext, MainnetHandler, pre_execution};
use revm::primitives::KECCAK_EMPTY;
use revm::primitives::hardfork::SpecId;
use revm::state::{Account, AccountInfo, EvmState};
use revm::{Database, ExecuteEvm, MainBuilder};
use std::collections::BTreeSet;

/// Why a payload that was committed does not run here.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// The environment is not one of this network's.
    #[error(transparent)]
    Environment(#[from] evm::EnvironmentError),
    /// A transaction cannot be included on one EVM.
    #[error("transaction {index} cannot be included on one EVM: {reason}")]
    Refused {
        /// Its place in the payload.
        index: usize,
        /// What revm says.
        reason: String,
    },
    /// A transaction of a bundle does not succeed on one EVM, so nothing of the bundle may have been committed.
    #[error("transaction {index} of a bundle ends as {status:?} on one EVM")]
    Bundle {
        /// Its place in the payload.
        index: usize,
        /// How it ends.
        status: Status,
    },
    /// I8: a transaction changed the sum of all balances by other than its fees.
    #[error("transaction {index} makes wei out of nothing or loses them: {before} before, {after} after, fees {fees}")]
    Value {
        /// Its place in the payload.
        index: usize,
        /// The sum of the touched accounts before.
        before: U256,
        /// The sum after.
        after: U256,
        /// What it burnt in base and blob fees.
        fees: U256,
    },
}

/// Wei that came and went, over all that was run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// Created by the protocol: messages delivered with value, rewards and withdrawals of replayed blocks.
    pub created: U256,
    /// Taken by the protocol: values of messages whose delivery was acknowledged.
    pub taken: U256,
    /// Base fees and blob fees, burnt.
    pub fees: U256,
    /// Destroyed by contracts that destroyed themselves in their own favour.
    pub destroyed: U256,
}

/// One EVM with all of a network's state.
#[derive(Debug, Clone)]
pub struct Plain {
    params: NetworkParams,
    state: State,
    wiped: BTreeSet<Address>,
    flow: Flow,
}

/// What the database can lack.
#[derive(Debug, thiserror::Error)]
enum Lack {
    #[error("the hash of block {number} is not in the environment")]
    BlockHash { number: u64 },
    #[error("code {hash} is nowhere")]
    Code { hash: B256 },
}

impl DBErrorMarker for Lack {}

/// The state as one step sees it.
#[derive(Debug)]
struct View<'a> {
    params: &'a NetworkParams,
    environment: &'a Environment,
    state: &'a State,
}

impl Database for View<'_> {
    type Error = Lack;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Lack> {
        Ok(self.state.accounts.get(&address).map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None, // A default code would turn a contract into an account without code.
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Lack> {
        self.state.codes.get(&hash).cloned().ok_or(Lack::Code { hash })
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Lack> {
        match self.hash_in_ring(address, slot) {
            Some(hash) => Ok(hash),
            None => Ok(self.state.slots.get(&(address, slot)).copied().unwrap_or_default()),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Lack> {
        match self.environment {
            Environment::Slot(_) | Environment::Travelled { .. } => Ok(self.params.block_hash(number)),
            Environment::Block(block) => block.hashes.get(&number).copied().ok_or(Lack::BlockHash { number }),
        }
    }
}

impl View<'_> {
    /// What a write of its parent's hash at the begin of each block would have left in a slot of EIP-2935's contract, if this is one: nobody
    /// stores it, for on a network of slots a block is no shard's to begin.
    fn hash_in_ring(&self, address: Address, slot: U256) -> Option<U256> {
        let has_rule = self.params.environments.has_slots() && self.params.spec.includes(SpecId::PRAGUE);
        let now = self.environment.slot().filter(|_| has_rule && address == HISTORY_ADDRESS)?;
        let account = self.state.accounts.get(&address)?;
        if account.code_hash != HISTORY_CODE_HASH {
            return None;
        }
        let mut written = now.0.saturating_sub(HISTORY_COUNT)..now.0;
        let last = written.rfind(|block| U256::from(block % HISTORY_COUNT) == slot);
        Some(last.map_or(U256::ZERO, |block| self.params.block_hash(block).into()))
    }
}

/// What a run of revm gave, before it is applied.
type Finished = (ExecutionResult<HaltReason>, EvmState);

impl Plain {
    /// An EVM at `genesis`.
    pub fn new(params: NetworkParams, genesis: State) -> Self {
        Self { params, state: genesis.settled(), wiped: BTreeSet::new(), flow: Flow::default() }
    }

    /// The state now; it never has fragments of fees.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Accounts that lost their storage at some time.
    pub fn wiped(&self) -> &BTreeSet<Address> {
        &self.wiped
    }

    /// Wei that came and went.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// The sum of all balances.
    pub fn total(&self) -> U256 {
        total(&self.state)
    }

    /// Runs a payload and says what became of each of its transactions. After an error the state means nothing.
    pub fn run(&mut self, payload: &RecoveredPayload) -> Result<Vec<Outcome>, PlainError> {
        let environment = &payload.payload().environment;
        let block = self.params.block(environment)?;
        let steps = payload.steps();
        let mut outcomes = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let outcome = match step {
                Step::Signed(transaction) => self.signed(index, environment, &block, transaction)?,
                Step::System(system) => self.system(index, environment, &block, system)?,
            };
            if payload.payload().is_undone_by(outcome.status) {
                return Err(PlainError::Bundle { index, status: outcome.status });
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn signed(
        &mut self,
        index: usize,
        environment: &Environment,
        block: &BlockEnvironment,
        transaction: &RecoveredTransaction,
    ) -> Result<Outcome, PlainError> {
        let env = transaction.env();
        let (result, changes) = self.transact(environment, block, env).map_err(|error| refused(index, &error))?;
        let block_env = block_env(block);
        let burnt = U256::from(result.tx_gas_used()) * U256::from(block.base_fee)
            + U256::from(env.total_blob_gas()) * U256::from(block_env.blob_gasprice().unwrap_or_default());
        self.account_for(index, &changes, burnt)?;
        self.apply(changes);
        let gas_price = env.effective_gas_price(u128::from(block.base_fee));
        Ok(Outcome { transaction: Some(transaction.hash()), kind: env.tx_type, gas_price, ..outcome(result) })
    }

    fn transact(
        &self,
        environment: &Environment,
        block: &BlockEnvironment,
        env: &TxEnv,
    ) -> Result<Finished, EVMError<Lack, InvalidTransaction>> {
        let mut evm = self.context(environment, block).build_mainnet();
        let result = evm.transact_one(env.clone())?;
        Ok((result, evm.finalize()))
    }

    /// A call without sender, nonce or fee: mainnet's own phase for system calls, with gas and value of its own.
    fn call(
        &self,
        environment: &Environment,
        block: &BlockEnvironment,
        env: TxEnv,
    ) -> Result<Finished, EVMError<Lack, InvalidTransaction>> {
        let mut evm = self.context(environment, block).build_mainnet();
        let (caller, pays) = (env.caller, !env.value.is_zero());
        evm.ctx.set_tx(env);
        pre_execution::load_accounts::<_, EVMError<Lack, InvalidTransaction>>(&mut evm)?;
        if pays {
            // The transfer takes it for granted that the payer is loaded, as validation would have done.
            evm.ctx.journal_mut().load_account(caller)?;
        }
        let result: Result<_, EVMError<Lack, InvalidTransaction>> = MainnetHandler::default().run_system_call(&mut evm);
        Ok((result?, evm.finalize()))
    }

    fn context<'a>(&'a self, environment: &'a Environment, block: &BlockEnvironment) -> MainnetContext<View<'a>> {
        let view = View { params: &self.params, environment, state: &self.state };
        let mut cfg = CfgEnv::new_with_spec(block.spec.id()).with_chain_id(self.params.network.0);
        cfg.set_spec_and_mainnet_gas_params(block.spec.id());
        cfg.max_blobs_per_tx = Some(if block.spec.id() == SpecId::PRAGUE { 9 } else { 6 });
        Context::<BlockEnv, TxEnv, CfgEnv, _, _, ()>::new(view, block.spec.id())
            .with_block(block_env(block))
            .with_cfg(cfg)
    }

    fn system(
        &mut self,
        index: usize,
        environment: &Environment,
        block: &BlockEnvironment,
        system: &SystemTransaction,
    ) -> Result<Outcome, PlainError> {
        match system {
            SystemTransaction::Call { caller, target, input, gas_limit, value, funding } => {
                let before = self.state.accounts.get(caller).copied();
                if *funding == Funding::Minted {
                    self.increase(block, *caller, *value);
                }
                let env = TxEnv {
                    caller: *caller,
                    kind: TxKind::Call(*target),
                    data: input.0.clone(),
                    gas_limit: *gas_limit,
                    value: *value,
                    ..TxEnv::default()
                };
                let (result, changes) = self.call(environment, block, env).map_err(|error| refused(index, &error))?;
                if result.is_success() {
                    self.account_for(index, &changes, U256::ZERO)?;
                    self.apply(changes);
                } else if *funding == Funding::Minted {
                    self.flow.created -= *value;
                    self.set(*caller, before);
                }
                Ok(outcome(result))
            }
            SystemTransaction::Increase { balances } => {
                for (address, wei) in balances {
                    self.increase(block, *address, *wei);
                }
                Ok(done(Status::Success))
            }
            SystemTransaction::Burn { account, value } => Ok(done(self.burn(*account, *value))),
            SystemTransaction::Gather { accounts, beneficiary } => {
                self.gather(block, accounts, *beneficiary);
                Ok(done(Status::Success))
            }
            // Here a fee is in its account from the start.
            SystemTransaction::Settle => Ok(done(Status::Success)),
        }
    }

    fn increase(&mut self, block: &BlockEnvironment, address: Address, wei: U256) {
        self.flow.created += wei;
        self.credit(block, address, wei);
    }

    /// Adds wei; from Spurious Dragon on an account that is then empty does not stay (EIP-161).
    fn credit(&mut self, block: &BlockEnvironment, address: Address, wei: U256) {
        let account = self.state.accounts.get(&address).copied().unwrap_or(AccountState::EMPTY);
        let after = AccountState { balance: account.balance + wei, ..account };
        let keeps_empty = !block.spec.id().is_enabled_in(SpecId::SPURIOUS_DRAGON);
        self.set(address, (keeps_empty || !after.is_empty()).then_some(after));
    }

    fn burn(&mut self, address: Address, wei: U256) -> Status {
        let account = self.state.accounts.get(&address).copied().unwrap_or(AccountState::EMPTY);
        let Some(balance) = account.balance.checked_sub(wei) else { return Status::Reverted };
        let after = AccountState { balance, ..account };
        self.set(address, (!after.is_empty()).then_some(after));
        self.flow.taken += wei;
        Status::Success
    }

    fn gather(&mut self, block: &BlockEnvironment, accounts: &[Address], beneficiary: Address) {
        let mut gathered = U256::ZERO;
        for address in accounts {
            if let Some(account) = self.state.accounts.get_mut(address) {
                gathered += std::mem::take(&mut account.balance);
            }
        }
        self.credit(block, beneficiary, gathered);
    }

    /// I8: what the touched accounts hold less after than before is the fee, or was destroyed with a contract.
    fn account_for(&mut self, index: usize, changes: &EvmState, fees: U256) -> Result<(), PlainError> {
        let balance = |address| self.state.accounts.get(address).map_or(U256::ZERO, |account| account.balance);
        let before: U256 = changes.keys().map(balance).sum();
        let after: U256 = changes.iter().map(|(address, account)| balance_after(account, balance(address))).sum();
        let destroys = changes.values().any(Account::is_selfdestructed);
        match before.checked_sub(after).and_then(|gone| gone.checked_sub(fees)) {
            Some(destroyed) if destroyed.is_zero() || destroys => {
                self.flow.fees += fees;
                self.flow.destroyed += destroyed;
                Ok(())
            }
            _ => Err(PlainError::Value { index, before, after, fees }),
        }
    }

    /// Takes over what a finished transaction did.
    fn apply(&mut self, changes: EvmState) {
        for (address, account) in changes {
            if account.is_touched() {
                self.apply_account(address, account);
            }
        }
    }

    /// revm's `finalize` has made touched empty accounts look as EIP-161 wants them, whatever the fork.
    fn apply_account(&mut self, address: Address, account: Account) {
        if account.is_selfdestructed() || (account.is_empty() && !account.is_created()) {
            return self.set(address, None);
        }
        if account.is_created() && self.state.accounts.contains_key(&address) {
            self.wipe(address);
        }
        let info = account.info;
        if let Some(code) = info.code.filter(|_| info.code_hash != KECCAK_EMPTY) {
            self.state.codes.insert(info.code_hash, code);
        }
        let after = AccountState { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash };
        self.state.accounts.insert(address, after);
        for (slot, value) in account.storage {
            if value.is_changed() {
                self.state.set_slot(address, slot, value.present_value);
            }
        }
    }

    /// Sets an account; one that is gone has no storage.
    fn set(&mut self, address: Address, account: Option<AccountState>) {
        match account {
            Some(account) => {
                self.state.accounts.insert(address, account);
            }
            None => {
                if self.state.accounts.remove(&address).is_some() {
                    self.wipe(address);
                }
            }
        }
    }

    fn wipe(&mut self, address: Address) {
        self.wiped.insert(address);
        let slots = (address, U256::ZERO)..=(address, U256::MAX);
        let written: Vec<_> = self.state.slots.range(slots).map(|(key, _)| *key).collect();
        for (address, slot) in written {
            self.state.set_slot(address, slot, U256::ZERO);
        }
    }
}

/// The sum of all balances and fragments of fees.
pub fn total(state: &State) -> U256 {
    let accounts: U256 = state.accounts.values().map(|account| account.balance).sum();
    accounts + state.fees.values().copied().sum::<U256>()
}

fn balance_after(account: &Account, before: U256) -> U256 {
    if !account.is_touched() {
        before
    } else if account.is_selfdestructed() {
        U256::ZERO
    } else {
        account.info.balance
    }
}

fn refused(index: usize, error: &EVMError<Lack, InvalidTransaction>) -> PlainError {
    PlainError::Refused { index, reason: error.to_string() }
}

fn block_env(block: &BlockEnvironment) -> BlockEnv {
    BlockEnv {
        number: U256::from(block.number),
        beneficiary: block.beneficiary,
        timestamp: U256::from(block.timestamp),
        gas_limit: block.gas_limit,
        basefee: block.base_fee,
        difficulty: block.difficulty,
        prevrandao: block.randomness,
        blob_excess_gas_and_price: block
            .blob
            .map(|blob| BlobExcessGasAndPrice::new(blob.excess_gas, blob.update_fraction)),
        slot_num: block.number,
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

fn outcome(result: ExecutionResult<HaltReason>) -> Outcome {
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
