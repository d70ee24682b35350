//! One plain revm over revm's own database: mainnet's handler, nothing of ours.
//!
//! Promise: it shares no code with what it judges but revm itself: neither execution nor state, nor how a transaction is
//! decoded.

use super::case::Case;
use super::trace::{Class, Trace};
use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction, Output};
use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::{AccountState, CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{DatabaseCommit, InspectEvm, MainBuilder, MainContext};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// What a user sees of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: &'static str,
    pub(crate) gas_used: u64,
    pub(crate) output: Bytes,
    pub(crate) logs: Vec<Log>,
    pub(crate) created: Option<Address>,
}

/// An account with its code and storage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Holding {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code: Bytes,
    pub(crate) slots: BTreeMap<U256, U256>,
}

/// All of a network's accounts.
pub(crate) type Holdings = BTreeMap<Address, Holding>;

/// The block that everything runs in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) fork: SpecId,
    pub(crate) coinbase: Address,
}

impl Block {
    pub(crate) const CHAIN: u64 = 1337;
    pub(crate) const NUMBER: u64 = 1000;
    pub(crate) const TIMESTAMP: u64 = 1_700_000_000;
    pub(crate) const GAS_LIMIT: u64 = 30_000_000;
    pub(crate) const BLOB_FRACTION: u64 = 5_007_716;

    pub(crate) fn base_fee(self) -> u64 {
        if self.fork >= SpecId::LONDON { 7 } else { 0 }
    }

    pub(crate) fn difficulty(self) -> U256 {
        if self.fork >= SpecId::MERGE { U256::ZERO } else { U256::from(131_072) }
    }

    pub(crate) fn randomness(self) -> Option<B256> {
        (self.fork >= SpecId::MERGE).then(|| B256::repeat_byte(0x5e))
    }

    /// As revm's empty database has it.
    pub(crate) fn hash(number: u64) -> B256 {
        keccak256(number.to_string())
    }
}

/// One EVM with everybody's state.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    block: Block,
    db: CacheDB<EmptyDB>,
    /// The contract that was created last.
    pub(crate) last_created: Option<Address>,
}

/// What became of a payload.
pub(crate) type Judged = Result<Vec<Seen>, Refused>;

/// Why a payload leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Invalid,
    Bundle,
}

impl Plain {
    pub(crate) fn new(case: &Case, genesis: &Holdings) -> Self {
        let mut db = CacheDB::new(EmptyDB::default());
        for (address, holding) in genesis {
            let code = Bytecode::new_legacy(holding.code.clone());
            db.insert_account_info(
                *address,
                AccountInfo { nonce: holding.nonce, balance: holding.balance, ..AccountInfo::from_bytecode(code) },
            );
            for (slot, value) in &holding.slots {
                db.insert_account_storage(*address, *slot, *value).expect("a map");
            }
        }
        let block = Block { fork: case.fork, coinbase: case.coinbase() };
        Self { block, db, last_created: None }
    }

    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.db.cache.accounts.get(&address).map_or(0, |account| account.info.nonce)
    }

    /// Runs transactions as one payload: all or none of several.
    pub(crate) fn run(&mut self, transactions: &[TxEnv], trace: &mut Trace<'_>) -> Judged {
        let before = self.clone();
        let result = self.all(transactions, trace);
        if result.is_err() {
            *self = before;
        }
        result
    }

    fn all(&mut self, transactions: &[TxEnv], trace: &mut Trace<'_>) -> Judged {
        let mut all = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            let seen = self.one(transaction.clone(), trace).map_err(|error| match error {
                EVMError::Transaction(_) => Refused::Invalid,
                error => panic!("the EVM gave up: {error}"),
            })?;
            if transactions.len() > 1 && seen.status != "success" {
                return Err(Refused::Bundle);
            }
            all.push(seen);
        }
        Ok(all)
    }

    fn one(
        &mut self,
        transaction: TxEnv,
        trace: &mut Trace<'_>,
    ) -> Result<Seen, EVMError<Infallible, InvalidTransaction>> {
        trace.begin(transaction.gas_limit);
        let mut cfg = CfgEnv::new_with_spec(self.block.fork).with_chain_id(Block::CHAIN);
        cfg.set_spec_and_mainnet_gas_params(self.block.fork);
        let context = Context::mainnet().with_db(&mut self.db).with_cfg(cfg).with_block(block_env(self.block));
        let done = context.build_mainnet_with_inspector(&mut *trace).inspect_tx(transaction)?;
        let gas = done.result.gas();
        trace.spent = (gas.total_gas_spent(), gas.tx_gas_used());
        if gas.tx_gas_used() < gas.total_gas_spent() {
            trace.classes.insert(Class::Refund);
        }
        let destroyed = done.state.values().filter(|account| account.is_touched() && account.is_selfdestructed());
        for account in destroyed {
            trace.classes.insert(if account.is_created() { Class::DestroyedAtBirth } else { Class::Destroyed });
        }
        self.last_created = trace.last_created.or(self.last_created);
        self.db.commit(done.state);
        self.remove_empty();
        Ok(seen(done.result))
    }

    /// EIP-161, which revm leaves to its database: an account with nothing in it is none.
    fn remove_empty(&mut self) {
        for account in self.db.cache.accounts.values_mut().filter(|account| account.info.is_empty()) {
            account.account_state = AccountState::NotExisting;
        }
    }

    /// What there is now.
    pub(crate) fn holdings(&self) -> Holdings {
        let all = self.db.cache.accounts.iter();
        all.filter(|(_, account)| account.account_state != AccountState::NotExisting)
            .map(|(address, account)| {
                let code = self.db.cache.contracts.get(&account.info.code_hash).map(Bytecode::original_bytes);
                let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
                let holding = Holding {
                    nonce: account.info.nonce,
                    balance: account.info.balance,
                    code: code.unwrap_or_default(),
                    slots: slots.map(|(slot, value)| (*slot, *value)).collect(),
                };
                (*address, holding)
            })
            .collect()
    }
}

fn block_env(block: Block) -> BlockEnv {
    let blob = BlobExcessGasAndPrice::new(0, Block::BLOB_FRACTION);
    BlockEnv {
        number: U256::from(Block::NUMBER),
        beneficiary: block.coinbase,
        timestamp: U256::from(Block::TIMESTAMP),
        gas_limit: Block::GAS_LIMIT,
        basefee: block.base_fee(),
        difficulty: block.difficulty(),
        prevrandao: block.randomness(),
        blob_excess_gas_and_price: (block.fork >= SpecId::CANCUN).then_some(blob),
        slot_num: Block::NUMBER,
    }
}

fn seen(result: ExecutionResult) -> Seen {
    let gas_used = result.tx_gas_used();
    let of = |status, output| Seen { status, gas_used, output, logs: Vec::new(), created: None };
    match result {
        ExecutionResult::Success { logs, output: Output::Create(output, created), .. } => {
            Seen { logs, created, ..of("success", output) }
        }
        ExecutionResult::Success { logs, output, .. } => Seen { logs, ..of("success", output.into_data()) },
        ExecutionResult::Revert { output, .. } => of("reverted", output),
        ExecutionResult::Halt { .. } => of("halted", Bytes::new()),
    }
}
